"""The background jobs: the table of them, and the service that runs them in every control worker.

All workers look once a second, and at the instants that jobs ask for, at the same rows of
`job_runs` by the same clock, PostgreSQL's. A job whose turn it is runs under an advisory lock, so
that normally one process runs it; every job is safe to run twice at once all the same (a lock is no
fence, and `campaigns job NAME` takes none). A killed process loses its lock, and the next look of
another one finds the turn not taken. A job that raises is tried again with a back-off and concerns
no other: each runs as a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mode import Service

from agents.jobs.ab_test_evaluator import EVALUATOR
from agents.jobs.job import Job, JobContext
from agents.jobs.recurring import RECURRING
from agents.jobs.scheduler import SCHEDULER
from agents.jobs.stats_refresh import REFRESH
from agents.jobs.turns import Turn, carry_out, next_turn
from streams import metrics
from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database import job_runs
from tables.database.connection import Database, Session
from tables.database.failures import translated
from tables.stats.views import StatsView

JOBS: Mapping[str, Job] = {
    job_runs.SCHEDULER: SCHEDULER,
    job_runs.STATS_REFRESH: REFRESH,
    job_runs.AB_TEST_EVALUATOR: EVALUATOR,
    job_runs.RECURRING_TRIGGER: RECURRING,
}

_LOOK = timedelta(seconds=1)  # between two looks at most
_POOL = 10  # connections at most: a job may use two at a time
# seconds for running jobs when the worker stops; work that is not committed is done again
_PATIENCE = 5.0
_log = logging.getLogger(__name__)


class Jobs(Service):  # type: ignore[misc]  # mode is untyped
    """The service. Waits in place for PostgreSQL, and for Kafka until the live stats have been
    read. `stats`: a view to share.
    """

    abstract = False

    def __init__(
        self,
        app: Any,
        settings: Settings,
        jobs: Mapping[str, Job] = JOBS,
        *,
        stats: StatsView | None = None,
    ) -> None:
        super().__init__()
        self._settings, self._jobs = settings, jobs
        self._database = Database(settings, "campaigns-jobs", max_size=_POOL)
        self._stats = StatsView(settings) if stats is None else stats
        self._running: dict[str, asyncio.Future[None]] = {}
        self._broken: set[str] = set()  # jobs that could not say when they are due

    async def on_start(self) -> None:
        # both are closed after the jobs have ended
        self.async_exit_stack.push_async_callback(self._database.close)
        await self.add_async_context(self._stats)

    async def on_stop(self) -> None:
        """Let running jobs end, so that a planned stop redoes nothing."""
        if running := list(self._running.values()):
            await asyncio.wait(running, timeout=_PATIENCE)

    @Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        while not self._stats.ready.is_set() and not self.should_stop:
            await self.sleep(0.1)
        while not self.should_stop:
            now, turns = await self._database.until_up(self._look)
            if self.should_stop:
                return  # `on_stop` has counted the running jobs
            for name, turn in turns.items():
                if turn.at <= now and name not in self._running:
                    self._running[name] = self.add_future(self._take_turn(name))
            soon = (turn.at - now for turn in turns.values() if turn.at > now)
            await self.sleep(min([_LOOK, *soon]).total_seconds())

    async def _take_turn(self, name: str) -> None:
        try:
            async with job_runs.turn(self._settings, name) as is_ours:
                if not is_ours:
                    return
                now, turns = await self._database.until_up(
                    self._look
                )  # another process may just have had this turn
                if (turn := turns[name]).at <= now:
                    await carry_out(
                        name,
                        self._jobs[name],
                        JobContext(self._database, self._settings, self._stats, now, turn.is_early),
                    )
        except DependencyDownError:
            _log.debug("no lock for a job; the next look waits for PostgreSQL", exc_info=True)
        finally:
            del self._running[name]

    async def _look(self, session: Session) -> tuple[datetime, dict[str, Turn]]:
        """The time, and when each job is to run."""
        now, runs = await job_runs.last_runs(session, self._jobs)
        turns = {}
        for name, job in self._jobs.items():
            last = runs.get(name)
            turns[name] = next_turn(
                last, job.every(self._settings), await self._due(session, name, job), now
            )
            if last is not None and last.next_at != turns[name].at:
                await job_runs.expect(session, name, turns[name].at)
            if last is not None and last.succeeded_at is not None:
                metrics.JOB_SUCCEEDED.labels(name).set(last.succeeded_at.timestamp())
        return now, turns

    async def _due(self, session: Session, name: str, job: Job) -> datetime | None:
        if job.due is None:
            return None
        try:
            with translated():
                async with session.begin_nested():  # its failure is that of no other job
                    answer = await job.due(session)
        except DependencyDownError:
            raise
        # a job that cannot say when it is due still has its turns
        except Exception:  # noqa: BLE001
            if name not in self._broken:
                _log.exception("a job cannot say when it is due", extra={"job": name})
            self._broken.add(name)
            return None
        self._broken.discard(name)
        return answer
