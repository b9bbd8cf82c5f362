"""The evaluator on real PostgreSQL and Kafka: it waits for the counts, and killed anywhere, or run
twice at once, it decides once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer

from agents.jobs.ab_test_evaluator import EVALUATOR
from agents.jobs.job import JobContext
from streams.records.stats import Counts, ShardStats, encode_stats
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tables.commands import milestones
from tables.database.connection import Database
from tables.stats.totals import summed
from tables.stats.views import StatsView
from tests.agents.processes.control_workers import process, produce
from tests.agents.sending.test_commands import command, results
from tests.environment import environment
from tests.eventually import eventually
from tests.postgres import sql
from tests.streams.contracts.test_ab_tests import body
from tests.tables.campaigns.campaign_world import World, make_world

NAME = "campaign-ab-test-evaluator"
SENT_AT = datetime.now(UTC) - timedelta(hours=5)  # of a test that takes four


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    pool = Database(settings, max_size=4)
    yield await make_world(pool, settings)
    await pool.close()


async def sampled(world: World, **config: Any) -> UUID:
    """A running campaign of 1,000 whose sample of 200 went out five hours ago."""
    campaign_id = await world.started(abTestConfig=body(50, 50, **config))
    await sql(world.pool).execute(
        "UPDATE campaigns SET total_recipients = 1000 WHERE id = $1", campaign_id
    )
    async with world.pool.transaction() as connection:
        await milestones.sample_sent(connection, world.tenant, campaign_id, SENT_AT)
    return campaign_id


async def count(
    world: World, campaign_id: UUID, version: int = 1, **opened: tuple[int, int]
) -> None:
    """What fold would say: each variant's (opened, delivered)."""
    topics = Topics(world.settings)
    number: int = await sql(world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", campaign_id
    )
    variants = {
        name: Counts(sent=of, delivered=of, opened=count) for name, (count, of) in opened.items()
    }
    stats = ShardStats(
        world.tenant,
        number,
        0,
        version,
        summed(variants.values()),
        "2026-01-28T09:00:00.000Z",
        variants=variants,
    )
    async with AIOKafkaProducer(bootstrap_servers=world.settings.kafka, acks="all") as producer:
        await producer.send_and_wait(
            topics.name(Name.STATS),
            encode_stats(stats),
            key=shard_key(number, 0),
            partition=topics.shard_partition(number, 0),
        )


async def winner(world: World, campaign_id: UUID) -> str | None:
    found: str | None = await sql(world.pool).fetchval(
        "SELECT winner_variant_id FROM campaigns WHERE id = $1", campaign_id
    )
    return found


async def decisions(world: World, campaign_id: UUID) -> list[tuple[str, str | None]]:
    rows = await sql(world.pool).fetch(
        "SELECT decision, variant_id FROM ab_test_decisions WHERE campaign_id = $1 ORDER BY seq",
        campaign_id,
    )
    return [(row["decision"], row["variant_id"]) for row in rows]


async def released(world: World) -> list[str]:
    return [
        value["variantId"]
        for _, _, value in await world.outbox()
        if value.get("type") == "spans-released"
    ]


async def by_hand(settings: Settings, folder: Path, crash: str = "") -> tuple[int, dict[str, int]]:
    """`python -m agents.jobs.run_once` as a process: its exit code, and what it did."""
    command = (sys.executable, "-m", "agents.jobs.run_once", NAME, "--json")
    with (folder / "job.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment(settings, CAMPAIGNS_CRASH=crash),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        output, _ = await process.communicate()
    return process.returncode or 0, json.loads(output)["counts"] if output else {}


async def test_it_waits_until_the_live_counts_hold_the_whole_sample(world: World) -> None:
    campaign_id, database = await sampled(world), Database(world.settings, "test")
    async with StatsView(world.settings) as stats:
        await stats.ready.wait()
        context = JobContext(database, world.settings, stats, datetime.now(UTC))
        await count(world, campaign_id, version=1, A=(60, 100), B=(20, 99))
        await eventually(lambda: stats.campaign(1).total.sent == 199)
        assert set((await EVALUATOR.run(context)).values()) == {0}
        await count(world, campaign_id, version=2, A=(60, 100), B=(90, 100))
        await eventually(lambda: stats.campaign(1).total.sent == 200)
        assert (await EVALUATOR.run(context))["declared"] == 1
        assert (await EVALUATOR.run(context))["declared"] == 0
    await database.close()
    assert await winner(world, campaign_id) == "B"
    assert await released(world) == ["B"]


async def test_a_test_that_cannot_be_evaluated_keeps_no_other_from_its_end(world: World) -> None:
    broken, campaign_id = [await sampled(world) for _ in range(2)]
    await sql(world.pool).execute(
        "UPDATE campaigns SET ab_test_config = '{}' WHERE id = $1", broken
    )
    database = Database(world.settings, "test")
    async with StatsView(world.settings) as stats:
        await stats.ready.wait()
        await count(world, campaign_id, A=(60, 100), B=(20, 100))
        await eventually(lambda: stats.campaign(2).total.sent == 200)
        with pytest.raises(ValueError, match="validation error"):
            await EVALUATOR.run(JobContext(database, world.settings, stats, datetime.now(UTC)))
    await database.close()
    assert await winner(world, campaign_id) == "A"


async def test_killed_before_its_commit_it_has_decided_nothing_and_after_it_everything(
    world: World, tmp_path: Path
) -> None:
    campaign_id = await sampled(world)
    await count(world, campaign_id, A=(60, 100), B=(20, 100))
    assert (await by_hand(world.settings, tmp_path, "evaluator:before-commit:1"))[0] == -9
    assert (
        await winner(world, campaign_id),
        await decisions(world, campaign_id),
        await released(world),
    ) == (None, [], [])
    assert (await by_hand(world.settings, tmp_path, "evaluator:concluded:1"))[0] == -9
    expected = ("A", [("winner", "A")], ["A"])
    assert (
        await winner(world, campaign_id),
        await decisions(world, campaign_id),
        await released(world),
    ) == expected
    code, counts = await by_hand(world.settings, tmp_path)
    assert (code, counts) == (0, {"declared": 0, "extended": 0, "asked": 0})
    assert (
        await winner(world, campaign_id),
        await decisions(world, campaign_id),
        await released(world),
    ) == expected


async def test_two_evaluators_at_once_decide_each_test_once(world: World, tmp_path: Path) -> None:
    tests = [await sampled(world, onTie="extend") for _ in range(3)]
    for campaign_id in tests[:2]:
        await count(world, campaign_id, A=(20, 100), B=(60, 100))
    await count(world, tests[2], A=(50, 100), B=(50, 100))
    outcomes = await asyncio.gather(*(by_hand(world.settings, tmp_path) for _ in range(3)))
    assert {code for code, _ in outcomes} == {0}
    assert sum(counts["declared"] for _, counts in outcomes) == 2
    assert await released(world) == ["B", "B"]
    extended = await decisions(world, tests[2])
    assert extended[0] == ("extend", None)
    # the test had taken five hours, four are past again: it is not due before the eighth
    until: datetime = await sql(world.pool).fetchval(
        "SELECT ab_test_until FROM campaigns WHERE id = $1", tests[2]
    )
    assert until == await _in_postgres(world, SENT_AT + timedelta(hours=8))


async def _in_postgres(world: World, at: datetime) -> datetime:
    rounded: datetime = await sql(world.pool).fetchval("SELECT $1::timestamptz", at)
    return rounded


async def test_its_tests_are_due_one_after_the_other(world: World) -> None:
    campaign_id = await sampled(world)
    assert EVALUATOR.due is not None
    async with world.pool.transaction() as connection:
        assert await EVALUATOR.due(connection) == SENT_AT + timedelta(hours=4)
        await sql(world.pool).execute(
            "UPDATE campaigns SET status = 'cancelled' WHERE id = $1", campaign_id
        )
        assert await EVALUATOR.due(connection) is None


async def test_a_test_is_made_and_its_winner_declared_by_kafka_commands(
    world: World, tmp_path: Path
) -> None:
    campaign_id = str(await world.created())
    commands = [
        command("ab-test.create", {"campaignId": campaign_id, **body(50, 50)}),
        command("ab-test.declare-winner", {"campaignId": campaign_id, "variantId": "B"}),
        command("start", {"campaignId": campaign_id}),
        command("ab-test.declare-winner", {"campaignId": campaign_id, "variantId": "C"}),
        command("ab-test.declare-winner", {"campaignId": campaign_id, "variantId": "B"}),
        command("ab-test.create", {"campaignId": campaign_id, **body(50, 50)}),
    ]
    async with process(world.settings, "commands", tmp_path):
        produce(world.settings, Name.COMMANDS, commands)
        found = [result.value["data"] for result in await results(world.settings, len(commands))]
    assert [answer.get("error", {}).get("status") for answer in found] == [
        None,
        409,
        None,
        422,
        None,
        409,
    ]
    assert await winner(world, UUID(campaign_id)) == "B"
    assert await released(world) == ["B"]
