"""The control worker starts what is due and makes what recurs, at its instant, once, and wherever
it is killed.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from streams.contracts.commands import Verb
from streams.settings import Settings
from streams.topics import Name
from tables.database.connection import Database
from tests.agents.processes.control_workers import produce, read
from tests.environment import environment
from tests.eventually import eventually
from tests.faults.workers import Role, Slot, Worker
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

POINTS = (
    "scheduler:before-commit:1",
    "recurring:before-commit:1",
    "scheduler:after-commit:1",
    "recurring:after-commit:1",
)
SOON = timedelta(seconds=3)  # to schedule something and write it down


def schedule(campaign_id: UUID, at: datetime) -> tuple[str, bytes, dict[str, str]]:
    data = {
        "campaignId": str(campaign_id),
        "scheduledAt": at.replace(tzinfo=None).isoformat(),
        "timezone": "UTC",
    }
    value = {
        "version": "1.0",
        "source": "crm",
        "tenantId": "acme",
        "correlationId": f"s-{campaign_id}",
        "data": data,
    }
    return "acme", json.dumps(value).encode(), {"type": "campaign.schedule"}


async def missed(world: World) -> UUID:
    """A running series whose last occurrence, five minutes ago, has no child yet. The next one is a
    day later, so that it is not due while the test runs, whatever the time is.
    """
    last = (datetime.now(UTC) - timedelta(minutes=5)).replace(second=0, microsecond=0)
    daily = {"cron": f"{last.minute} {last.hour} * * *", "timezone": "UTC"}
    series = await world.started(type="recurring", recurringSchedule=daily)
    await sql(world.pool).execute(
        "UPDATE campaigns SET next_occurrence_at = $2 WHERE id = $1", series, last
    )
    return series


async def started(world: World, *columns_and_id: object) -> bool:
    return bool(
        await sql(world.pool).fetchval(
            "SELECT count(*) = 1 FROM campaigns WHERE (id = $1 OR parent_id = $1)"
            " AND started_at IS NOT NULL AND type <> 'recurring'",
            *columns_and_id,
        )
    )


async def test_kill_9_in_either_job_starts_and_creates_everything_once(
    settings: Settings, tmp_path: Path
) -> None:
    pool = Database(settings)
    world = await make_world(pool, settings)
    worker = Worker(
        "control",
        tmp_path / "control.log",
        # so that what starts in time was started at its instant, and not by the next look
        environment(settings, CAMPAIGNS_SCHEDULER_INTERVAL="PT1H"),
        module="agents.worker",
    )
    slot = Slot(Role("control", list(POINTS)), worker)
    supervision = asyncio.create_task(slot.supervise())
    everything: list[UUID] = []
    try:
        while slot.role.met.total() < len(POINTS) and len(everything) < 4 * len(
            POINTS
        ):  # a point may be passed before it is armed
            campaign_id, series = await world.created(), await missed(world)
            await world.do(
                Verb.SCHEDULE, campaign_id, {"scheduledAt": (datetime.now(UTC) + SOON).isoformat()}
            )
            for one in (campaign_id, series):
                await eventually(partial(started, world, one), 300)
                await world.do(Verb.PAUSE, one)  # there is room for five
            everything += [campaign_id, series]
        # and now by a command, once the worker is back from its last death and reads commands
        produce(settings, Name.COMMANDS, [schedule(uuid4(), datetime.now(UTC))])
        await eventually(lambda: asyncio.to_thread(read, settings, Name.COMMAND_RESULTS), 300)
        campaign_id = await world.created()
        produce(settings, Name.COMMANDS, [schedule(campaign_id, datetime.now(UTC) + 5 * SOON)])
        await eventually(partial(started, world, campaign_id), 300)
        assert slot.role.met.total() == len(POINTS)
        await eventually(lambda: sql(pool).fetchval("SELECT count(*) = 0 FROM outbox"), 300)
        due = await sql(pool).fetchval(
            "SELECT max(started_at - scheduled_at) FROM campaigns WHERE id = $1", campaign_id
        )
    finally:
        supervision.cancel()
        await asyncio.gather(supervision, return_exceptions=True)
        await worker.stop()
    assert timedelta(0) <= due < timedelta(minutes=5)
    for one in everything:
        rows = await sql(pool).fetch(
            "SELECT occurrence_at FROM campaigns WHERE parent_id = $1", one
        )
        assert len({row["occurrence_at"] for row in rows}) == len(rows)
    stages: dict[str, set[str]] = {}
    for record in read(settings, Name.EXPANSIONS):  # the relay may repeat a record, with its id
        stages.setdefault(record.key, set()).add(record.headers["id"])
    begun = await sql(pool).fetch(
        "SELECT id FROM campaigns WHERE started_at IS NOT NULL AND type <> 'recurring'"
    )
    assert {key: len(ids) for key, ids in stages.items()} == {str(row["id"]): 1 for row in begun}
    await pool.close()
