"""A series at instants of a test's own choosing: verbs, both jobs, and what has become of the
children.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from agents.jobs.job import JobContext
from agents.jobs.recurring import RECURRING
from agents.jobs.scheduler import SCHEDULER
from streams.contracts.commands import Verb
from tables.campaigns.occurrences import next_due
from tables.commands import milestones
from tables.commands.execute import run
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
HOURLY = {"cron": "0 * * * *", "timezone": "UTC"}
_HOUR = datetime(2026, 1, 28, 9, tzinfo=UTC)
Make = Callable[[datetime | None], JobContext]


def hour(offset: int = 0) -> datetime:
    """The beginning of the hour that comes `offset` hours after the tests' own."""
    return _HOUR + offset * HOUR


async def act(
    world: World, verb: Verb, campaign_id: UUID, at: datetime, **body: Any
) -> dict[str, Any]:
    """A verb at a time of the test's."""
    command = world.command(verb, campaign_id, body, at=at)
    return (await run(world.pool, world.settings, command, scope="rest")).result() or {}


async def series(
    world: World, at: datetime, schedule: Mapping[str, Any] = HOURLY, **more: Any
) -> UUID:
    """One that was started at `at`."""
    body = world.draft(type="recurring", recurringSchedule=schedule, **more)
    campaign_id = UUID((await world.do(Verb.CREATE, body=body, at=at))["id"])
    await act(world, Verb.START, campaign_id, at)
    return campaign_id


async def trigger(make: Make, at: datetime) -> Mapping[str, int]:
    return {what: count for what, count in (await RECURRING.run(make(at))).items() if count}


async def start_due(make: Make, at: datetime) -> Mapping[str, int]:
    return {outcome: count for outcome, count in (await SCHEDULER.run(make(at))).items() if count}


async def children(world: World, series_id: UUID) -> list[tuple[int, str]]:
    """(hours from this hour, status) of each, in order."""
    rows = await sql(world.pool).fetch(
        "SELECT occurrence_at, status FROM campaigns WHERE parent_id = $1 ORDER BY occurrence_at",
        series_id,
    )
    return [(round((row["occurrence_at"] - hour()) / HOUR), row["status"]) for row in rows]


async def child(world: World, series_id: UUID, offset: int) -> UUID:
    statement = "SELECT id FROM campaigns WHERE parent_id = $1 AND occurrence_at = $2"
    return UUID(str(await sql(world.pool).fetchval(statement, series_id, hour(offset))))


async def column(world: World, campaign_id: UUID, name: str) -> Any:
    return await sql(world.pool).fetchval(
        f"SELECT {name} FROM campaigns WHERE id = $1", campaign_id
    )


async def finish(world: World, campaign_id: UUID, sent: int, at: datetime) -> None:
    async with world.pool.transaction() as connection:
        await sql(connection).execute(
            "UPDATE campaigns SET total_recipients = $2 WHERE id = $1", campaign_id, sent + 1
        )
        await milestones.finished(connection, "acme", campaign_id, sent=sent, skipped=1, at=at)


async def due(world: World) -> datetime | None:
    async with world.pool.transaction() as connection:
        return await next_due(connection)
