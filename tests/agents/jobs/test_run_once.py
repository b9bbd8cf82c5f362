"""`campaigns job NAME` and the four jobs in a real control worker: also twice at once, and killed
in the middle.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.jobs.jobs import JOBS
from streams.records.stats import Counts
from streams.settings import Settings
from streams.topics import Name
from tables.database import job_runs
from tables.database.connection import Database
from tests.agents.jobs.job_rows import completed, done, last, materialised
from tests.api.campaigns.feeds import feed_stats
from tests.environment import environment
from tests.eventually import eventually
from tests.faults.workers import Worker
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

REFRESH = "campaign-stats-refresh"
CAMPAIGNS = (str(Path(sys.executable).with_name("campaigns")), "job")
MODULE = (sys.executable, "-m", "agents.jobs.run_once")  # what the command becomes


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    pool = Database(settings)
    yield await make_world(pool, settings)
    await pool.close()


async def by_hand(settings: Settings, *words: str, crash: str = "") -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the words as a command."""
    variables, pipe = environment(settings, CAMPAIGNS_CRASH=crash), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, env=variables, stdout=pipe, stderr=pipe)
    said, complained = await process.communicate()
    return process.returncode or 0, said.decode(), complained.decode()


async def test_every_job_runs_by_hand_also_twice_at_once(settings: Settings, world: World) -> None:
    number = await completed(world, sent=90)
    await feed_stats(settings, number, Counts(sent=90))
    for name in JOBS:
        answers = await asyncio.gather(
            by_hand(settings, *MODULE, name, "--json"), by_hand(settings, *MODULE, name, "--json")
        )
        assert [code for code, _, _ in answers] == [0, 0], answers
        said = [json.loads(text) for _, text, _ in answers]
        assert [(it["job"], it["outcome"], it["error"]) for it in said] == [(name, "done", "")] * 2
        if name == REFRESH:
            assert sum(it["counts"]["campaigns"] for it in said) == 1
    assert (await materialised(world.pool, number))["sent_count"] == 90
    code, said_to_people, _ = await by_hand(settings, *CAMPAIGNS, REFRESH)
    assert (code, said_to_people.startswith(f"{REFRESH}: 0 campaigns, 0 sealed in ")) == (0, True)


async def test_a_job_that_does_not_exist_is_a_usage_error_that_names_those_that_do(
    settings: Settings,
) -> None:
    code, _, complained = await by_hand(settings, *CAMPAIGNS, "campaign-nonsense")
    assert code == 2 and all(name in complained.replace("\n", " ") for name in job_runs.JOBS)


@pytest.mark.parametrize(
    "point",
    ["jobs:begun:1", "stats-refresh:before-commit:1", "stats-refresh:written:1", "jobs:ran:1"],
)
async def test_a_refresh_killed_anywhere_is_completed_by_the_next_run(
    settings: Settings, world: World, point: str
) -> None:
    number = await completed(world, sent=90)
    await feed_stats(settings, number, Counts(sent=90))
    code, _, complained = await by_hand(settings, *MODULE, REFRESH, crash=point)
    assert code == -signal.SIGKILL and "crash point" in complained
    killed = await last(world.pool, REFRESH)
    assert killed is not None and (killed.outcome, killed.turn_at) == ("running", None)
    assert (await by_hand(settings, *MODULE, REFRESH))[0] == 0
    assert (await materialised(world.pool, number))["sent_count"] == 90
    assert (
        await sql(world.pool).fetchval(
            "SELECT count(*) FROM outbox WHERE topic = $1", Name.PERFORMANCE
        )
        == 1
    )
    assert await done(world.pool, REFRESH) is not None


async def test_a_control_worker_runs_all_four(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    ready = tmp_path / "ready.json"
    variables = {
        name: value
        for name, value in environment(settings).items()
        if name.startswith("CAMPAIGNS_")
    }
    worker = Worker(
        "control",
        tmp_path / "control.log",
        {**variables, "CAMPAIGNS_READY_FILE": str(ready)},
        module="agents.worker",
    )
    await worker.start()
    try:
        for name in job_runs.JOBS:
            await eventually(lambda name=name: _is_expected_again(world, name), 300)  # type: ignore[misc]
        await eventually(lambda: ready.exists() and json.loads(ready.read_text())["ready"], 300)
    finally:
        code = await worker.stop()
    assert code == 0


async def _is_expected_again(world: World, name: str) -> bool:
    run = await done(world.pool, name)
    return run is not None and run.next_at is not None
