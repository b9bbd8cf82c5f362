"""The last run of each background job: what the workers take turns by, and what `/readyz?verbose`
shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import Update, select, update
from sqlalchemy.dialects.postgresql import insert

from streams.settings import Settings
from tables.database.connection import Session
from tables.database.driver import DriverConnection
from tables.database.failures import translated
from tables.models import JobRun

# The names of the jobs, which nothing else spells.
SCHEDULER = "campaign-scheduler"
STATS_REFRESH = "campaign-stats-refresh"
AB_TEST_EVALUATOR = "campaign-ab-test-evaluator"
RECURRING_TRIGGER = "campaign-recurring-trigger"
JOBS = (SCHEDULER, STATS_REFRESH, AB_TEST_EVALUATOR, RECURRING_TRIGGER)

# A frozen process must not keep the lock: PostgreSQL ends a session that says nothing for so long.
_SESSION = {"idle_session_timeout": "15s"}
_SPEAK = 4.0  # seconds


@asynccontextmanager
async def turn(settings: Settings, job: str) -> AsyncIterator[bool]:
    """Whether the job's advisory lock is ours for the length of the block; answers at once. Raises
    DependencyDownError.

    It is courtesy, not a fence: when the connection breaks, or its process freezes for 15 s,
    another one may begin although this one runs.
    """
    with translated():
        connection = await DriverConnection.open(
            settings.postgres,
            application_name="campaigns-job",
            statement_timeout=timedelta(seconds=10),
            autocommit=True,
            session=_SESSION,
        )
    speaking = None
    try:
        with translated():
            locked = await connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"campaigns.job.{job}",)
            )
            (is_ours,) = await locked.fetchone() or (False,)
        speaking = asyncio.create_task(_speak(connection))
        yield bool(is_ours)
    finally:
        if speaking is not None:
            speaking.cancel()
        await connection.close()  # which releases the lock


async def _speak(connection: DriverConnection) -> None:
    with suppress(OSError, psycopg.Error):  # then the lock is gone, and that is allowed
        while True:
            await asyncio.sleep(_SPEAK)
            await connection.execute("SELECT")


async def last_runs(
    session: Session, jobs: Iterable[str] = JOBS
) -> tuple[datetime, dict[str, JobRun]]:
    """The database's time, which all workers share, and the last run by name; one that never ran is
    not there.
    """
    rows = await session.every(select(JobRun).where(JobRun.job.in_(list(jobs))))
    return await session.clock(), {row.job: row for row in rows}


async def begin(session: Session, job: str, at: datetime) -> UUID:
    """Note that a run has begun, and return its id."""
    run_id = uuid4()
    begun = {"run_id": run_id, "started_at": at, "outcome": "running"}
    fresh = begun | {"finished_at": None, "counts": {}, "error": None}
    await session.execute(
        insert(JobRun)
        .values(job=job, **begun)
        .on_conflict_do_update(index_elements=[JobRun.job], set_=fresh)
    )
    return run_id


async def succeeded(
    session: Session,
    job: str,
    run_id: UUID,
    at: datetime,
    counts: Mapping[str, int],
    *,
    is_early: bool,
) -> None:
    """Note that the run did what `counts` says. Nothing is written when another run has begun
    since.
    """
    await session.execute(
        _own(job, run_id).values(
            outcome="done",
            finished_at=at,
            counts=dict(counts),
            failures=0,
            succeeded_at=at,
            turn_at=JobRun.turn_at if is_early else JobRun.started_at,
        )
    )


async def failed(session: Session, job: str, run_id: UUID, at: datetime, error: str) -> None:
    """Note that the run raised `error`, a class without the text. Nothing is written when another
    run has begun since.
    """
    await session.execute(
        _own(job, run_id).values(
            outcome="failed", finished_at=at, error=error[:200], failures=JobRun.failures + 1
        )
    )


async def expect(session: Session, job: str, at: datetime) -> None:
    """Note when the job will run next; one that never ran has no row to note it in."""
    await session.execute(update(JobRun).where(JobRun.job == job).values(next_at=at))


def _own(job: str, run_id: UUID) -> Update:
    return update(JobRun).where(JobRun.job == job, JobRun.run_id == run_id)
