"""A campaign that too many people complain of is paused once, with its reason and an alert, and is
judged anew when somebody resumes it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from agents.counting.complaints import Complaints
from streams.contracts.commands import Verb
from streams.records.stats import Counts, ShardStats, encode_stats
from streams.settings import Settings
from tables.commands.complaint_pauses import ComplaintCounts, WatchedCampaign, pause
from tests.environment import environment
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World


def test_the_limit_is_of_the_delivered_and_needs_enough_of_them() -> None:
    assert not ComplaintCounts(1000, 3).is_too_many(0.3, 1000)  # exactly the limit
    assert ComplaintCounts(1000, 4).is_too_many(0.3, 1000)
    assert not ComplaintCounts(999, 999).is_too_many(0.3, 1000)
    assert not ComplaintCounts(0, 0).is_too_many(0.3, 1)
    assert ComplaintCounts(3000, 13).since(ComplaintCounts(2000, 9)) == ComplaintCounts(1000, 4)


@pytest.fixture
async def watcher(sql_settings: Settings) -> AsyncIterator[Complaints]:
    """Not running: `look` is called by the tests."""
    watcher = Complaints(None, sql_settings)
    yield watcher
    await watcher._database.close()


async def count(
    world: World, watcher: Complaints, campaign: UUID, delivered: int, complained: int
) -> None:
    """The live counts of the campaign, as the topic of stats would bring them."""
    number = await sql(world.pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign)
    counts, version = (
        Counts(sent=delivered, delivered=delivered, complained=complained),
        delivered + complained,
    )
    stats = ShardStats(
        tenant_id="acme",
        number=number,
        shard=0,
        version=version,
        total=counts,
        updated_at="2026-01-28T09:00:00.000Z",
    )
    watcher._stats.put(b"%d:0" % number, encode_stats(stats))


async def status(world: World, campaign: UUID) -> tuple[str, str | None]:
    row = await sql(world.pool).fetchrow(
        "SELECT status::text, status_reason FROM campaigns WHERE id = $1", campaign
    )
    assert row is not None
    return row["status"], row["status_reason"]


async def test_it_is_paused_once_with_one_event_and_one_alert(
    world: World, watcher: Complaints
) -> None:
    bad, good, small = [await world.started() for _ in range(3)]
    await count(world, watcher, bad, 2000, 7)
    await count(world, watcher, good, 2000, 6)
    await count(world, watcher, small, 999, 900)
    assert [await watcher.look() for _ in range(2)] == [1, 0]
    assert [await status(world, one) for one in (bad, good, small)] == [
        ("paused", "complaint-rate"),
        ("running", None),
        ("running", None),
    ]
    found = [(kind, data) for kind, data in await world.events() if data["campaignId"] == str(bad)][
        -2:
    ]
    assert [kind for kind, _ in found] == ["campaign.paused", "campaign.alert"]
    assert (
        found[0][1]["reason"] == found[1][1]["reason"] == "complaint-rate"
        and found[0][1]["sentCount"] == 2000
    )
    assert found[1][1]["detail"] == "7 of 2,000 delivered complained (0.35 %); the limit is 0.3 %."
    assert [topic for topic, _, value in await world.outbox() if value.get("type") == "paused"] == [
        "campaigns.sending.v1"
    ]


async def test_one_that_cannot_be_paused_keeps_nobody_else_from_it(
    world: World, watcher: Complaints
) -> None:
    odd, bad = [await world.started() for _ in range(2)]
    await sql(world.pool).execute("ALTER TABLE complaint_pauses ADD CHECK (delivered < 3000)")
    await count(world, watcher, odd, 3000, 2000)
    await count(world, watcher, bad, 2000, 7)
    assert await watcher.look() == 1
    assert [(await status(world, one))[0] for one in (odd, bad)] == ["running", "paused"]


async def test_who_resumes_it_accepts_what_was_and_not_what_comes(
    world: World, watcher: Complaints
) -> None:
    campaign = await world.started()
    await count(world, watcher, campaign, 2000, 10)
    assert await watcher.look() == 1
    await world.do(Verb.RESUME, campaign)
    await count(world, watcher, campaign, 2999, 100)  # 999 since: too few to tell
    assert await watcher.look() == 0
    await count(world, watcher, campaign, 3000, 100)
    assert await watcher.look() == 1


async def test_two_at_once_pause_it_once(world: World, sql_settings: Settings) -> None:
    campaign = await world.started()
    number = await sql(world.pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign)
    watched, now, at = (
        WatchedCampaign(campaign, "acme", number, ComplaintCounts(0, 0)),
        ComplaintCounts(1000, 50),
        datetime.now(UTC),
    )

    async def one() -> bool:
        async with world.pool.transaction() as connection:
            return (await pause(connection, sql_settings, watched, now, at, {})).refusal is None

    assert sorted(await asyncio.gather(*(one() for _ in range(4)))) == [False, False, False, True]
    assert [kind for kind, _ in await world.events()].count("campaign.alert") == 1


_PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime
from uuid import UUID
from streams.settings import from_environment
from tables.commands.complaint_pauses import ComplaintCounts, WatchedCampaign, pause
from tables.database.connection import Database
from tests.postgres import sql
async def main():
    settings, before, now = from_environment(), ComplaintCounts(0, 0), ComplaintCounts(1000, 50)
    watched = WatchedCampaign(UUID(sys.argv[1]), "acme", int(sys.argv[2]), before)
    at = datetime.now(UTC)
    await Database(settings, "t").until_up(lambda c: pause(c, settings, watched, now, at, {}))
asyncio.run(main())
"""


async def test_killed_before_the_commit_nothing_has_happened_and_the_next_look_does_it(
    world: World, watcher: Complaints
) -> None:
    campaign = await world.started()
    number = await sql(world.pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign)
    variables = environment(world.settings, CAMPAIGNS_CRASH="complaints:before-commit:1")
    doomed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, str(campaign), str(number), env=variables
    )
    assert await doomed.wait() == -signal.SIGKILL
    assert await status(world, campaign) == ("running", None)
    await count(world, watcher, campaign, 1000, 50)
    assert await watcher.look() == 1
    assert [kind for kind, _ in await world.events()].count("campaign.alert") == 1
