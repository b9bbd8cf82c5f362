"""`/readyz?verbose` shows what the background jobs did last."""

from __future__ import annotations

from typing import Any

from agents.jobs.jobs import JOBS, Jobs
from streams.settings import Settings
from tables.database import job_runs
from tables.database.connection import Database
from tests.agents.jobs.fake_job import Fake
from tests.api.world import Rest
from tests.eventually import eventually

REFRESH = "campaign-stats-refresh"
URL = "http://api/readyz?verbose"


async def test_readyz_shows_the_last_run_of_each_job_when_asked(
    live: Rest, settings: Settings
) -> None:
    assert "jobs" not in (await live.nobody.get("http://api/readyz")).json()
    assert (await live.nobody.get(URL)).json()["jobs"] == dict.fromkeys(job_runs.JOBS)
    broken = Fake(is_broken=True)
    async with Jobs(None, settings, {REFRESH: JOBS[REFRESH], "campaign-scheduler": broken.job()}):

        async def both() -> Any:
            shown = (await live.nobody.get(URL)).json()["jobs"]
            ran = [shown[name] for name in (REFRESH, "campaign-scheduler") if shown[name]]
            return (
                shown
                if len(ran) == 2 and all(run["nextAt"] and run["finishedAt"] for run in ran)
                else None
            )

        shown = await eventually(both, 300)
    assert set(shown) == set(job_runs.JOBS)
    done, failed = shown[REFRESH], shown["campaign-scheduler"]
    assert (done["outcome"], done["counts"], done["failures"], done["error"]) == (
        "done",
        {"campaigns": 0, "sealed": 0},
        0,
        None,
    )
    assert done["startedAt"] <= done["finishedAt"] == done["succeededAt"] < done["nextAt"]
    assert (failed["outcome"], failed["error"], failed["succeededAt"]) == (
        "failed",
        "RuntimeError",
        None,
    ) and failed["failures"] >= 1
    assert shown["campaign-recurring-trigger"] is None


async def test_readyz_says_that_it_cannot_know_while_postgresql_is_away(rest: Rest) -> None:
    async with Database("postgresql://127.0.0.1:1/nothing") as away:
        rest.use(database=away)
        answer = await rest.nobody.get(URL)
    assert (answer.status_code, answer.json()["jobs"]) == (503, None)
    assert answer.json()["parts"]["postgres"] is False
