"""The jobs as workers run them: in turns, one process at a time, by hand as well, and whatever is
killed, frozen or raises.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.jobs.jobs import JOBS, Jobs
from agents.sending.outbox_relay import OutboxRelay
from connectors.local.engines.engine import RunningEngine
from streams.records.stats import Counts
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.database.connection import Database
from tables.stats.materialised import COLUMNS
from tests.agents.jobs.fake_job import Fake
from tests.agents.jobs.job_rows import completed, done, last, materialised
from tests.agents.processes.control_workers import read
from tests.api.campaigns.feeds import feed_stats
from tests.environment import environment
from tests.eventually import eventually
from tests.faults.workers import Worker
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

REFRESH = "campaign-stats-refresh"


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    pool = Database(settings)
    yield await make_world(pool, settings)
    await pool.close()


async def test_completed_counts_are_materialised_at_once_and_published_as_they_are(
    settings: Settings, world: World
) -> None:
    async with OutboxRelay(None, settings), Jobs(None, settings):
        await eventually(lambda: last(world.pool, REFRESH), 300)
        number = await completed(world, sent=90)
        await feed_stats(settings, number, Counts(sent=80))
        await feed_stats(
            settings,
            number,
            Counts(sent=90, delivered=80, opened=30, clicked=8, bounced=2),
            version=2,
        )
        # long before the job's next turn, which is five minutes later
        row = await eventually(lambda: materialised(world.pool, number), 300)
        assert await eventually(
            lambda: sql(world.pool).fetchval(
                "SELECT count(*) = 0 FROM outbox WHERE topic = $1", Name.PERFORMANCE
            )
        )
    assert (row["sent_count"], row["delivered_count"], row["is_complete"]) == (90, 80, True)
    [fact] = [
        record for record in read(settings, Name.PERFORMANCE) if record.value["data"]["isComplete"]
    ]
    campaign_id = str(row["campaign_id"])
    assert (fact.key, fact.partition, fact.headers["type"]) == (
        campaign_id,
        Topics(settings).partition(campaign_id),
        "campaign.performance",
    )
    assert [
        fact.value["data"][f"{name}Count"]
        for name in ("sent", "delivered", "opened", "clicked", "bounced", "complaint")
    ] == [
        row[COLUMNS[name]]
        for name in ("sent", "delivered", "opened", "clicked", "bounced", "complained")
    ]


async def test_a_job_that_fails_is_recorded_and_tried_again_and_stops_no_other(
    settings: Settings, world: World
) -> None:
    bad, good, odd = Fake(is_broken=True), Fake(), Fake(is_due_broken=True)
    jobs = {"bad": bad.job(), "good": good.job(timedelta(seconds=0.2)), "odd": odd.job()}
    async with Jobs(None, settings, jobs):
        await eventually(
            lambda: len(bad.runs) >= 3 and len(good.runs) >= 3 and len(odd.runs) == 1, 300
        )
        failed = await eventually(lambda: last(world.pool, "bad"))
        assert (
            failed is not None and failed.error in (None, "RuntimeError") and failed.turn_at is None
        )
        bad.is_broken = False
        run = await eventually(lambda: done(world.pool, "bad"), 300)
        assert (run.failures, run.error, run.counts) == (0, None, {"runs": len(bad.runs)})


async def test_of_three_workers_one_runs_a_job_in_each_turn_and_at_the_instant_that_it_asks_for(
    settings: Settings, world: World
) -> None:
    fake = Fake()
    jobs = {"fake": fake.job()}
    async with Jobs(None, settings, jobs), Jobs(None, settings, jobs), Jobs(None, settings, jobs):
        await eventually(lambda: fake.runs == [False], 300)
        await asyncio.sleep(1.2)  # everybody has looked again
        assert fake.runs == [False]
        fake.due_at = await sql(world.pool).fetchval(
            "SELECT clock_timestamp() + interval '1.5 seconds'"
        )
        began = await eventually(lambda: _early(world.pool, fake))
        assert fake.due_at <= began < fake.due_at + timedelta(minutes=5)  # its turn is in an hour
        fake.due_at = None
    assert fake.most_at_once == 1 and fake.runs.count(False) == 1


@pytest.mark.parametrize("later", range(4))
async def test_no_job_begins_after_the_worker_was_told_to_end(
    settings: Settings, world: World, later: int
) -> None:
    fake, asked, answer = Fake(), asyncio.Event(), asyncio.Event()

    async def due(_: Any) -> None:
        asked.set()
        await answer.wait()
        for _ in range(later):
            await asyncio.sleep(0)

    class Slow(Database):
        async def until_up(self, step: Any) -> Any:
            found = await super().until_up(step)
            await due(found)
            return found

    jobs = Jobs(None, settings, {"fake": fake.job()})
    await jobs._database.close()
    jobs._database = Slow(settings)
    async with jobs:
        await eventually(asked.is_set, 300)
        answer.set()  # there just when the worker is told to end, or a few steps later
    assert fake.runs == [] and jobs._running == {}
    gc.collect()  # a turn that was made and never begun would be named now


async def _early(pool: Database, fake: Fake) -> Any:
    if True not in fake.runs:
        return None
    run = await last(pool, "fake")  # written before the run begins
    return run.started_at if run is not None else None


async def test_a_frozen_worker_loses_its_turn_to_another(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    variables = {
        name: value
        for name, value in environment(settings).items()
        if name.startswith("CAMPAIGNS_")
    }
    frozen = Worker(
        "jobs", tmp_path / "frozen.log", variables, module="tests.agents.processes.jobs_process"
    )
    await frozen.start(CAMPAIGNS_CRASH="jobs:begun:1:stop")
    try:
        number = await completed(world, sent=0)
        await eventually(frozen.is_frozen, 300)
        async with Jobs(None, settings, {REFRESH: JOBS[REFRESH]}):
            await eventually(lambda: materialised(world.pool, number), 300)
            frozen.signal(signal.SIGCONT)
    finally:
        await frozen.stop()
    assert (
        await sql(world.pool).fetchval(
            "SELECT count(*) FROM outbox WHERE topic = $1", Name.PERFORMANCE
        )
        == 1
    )


async def test_jobs_wait_for_a_database_that_is_away(
    settings: Settings, world: World, postgres_engine: RunningEngine
) -> None:
    fake = Fake()
    async with Jobs(None, settings, {"fake": fake.job(timedelta(seconds=0.1))}):
        await eventually(lambda: len(fake.runs) > 1, 300)
        postgres_engine.kill()
        postgres_engine.start()
        seen = len(fake.runs)
        await eventually(lambda: len(fake.runs) > seen + 1, 300)
