"""The last run of each background job: what the workers take turns by, and what `/readyz?verbose`
shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import psycopg

from streams.settings import Settings
from tables.database.connection import Connection
from tables.database.driver import DriverConnection
from tables.database.failures import translated

# The names of the jobs, which nothing else spells.
SCHEDULER = "campaign-scheduler"
STATS_REFRESH = "campaign-stats-refresh"
AB_TEST_EVALUATOR = "campaign-ab-test-evaluator"
RECURRING_TRIGGER = "campaign-recurring-trigger"
JOBS = (SCHEDULER, STATS_REFRESH, AB_TEST_EVALUATOR, RECURRING_TRIGGER)

# A frozen process must not keep the lock: PostgreSQL ends a session that says nothing for so long.
_SESSION = {"idle_session_timeout": "15s"}
_SPEAK = 4.0  # seconds
_BEGIN = """
INSERT INTO job_runs (job, run_id, started_at, outcome) VALUES ($1, $2, $3, 'running')
    ON CONFLICT (job) DO UPDATE SET run_id = $2, started_at = $3, outcome = 'running', finished_at = NULL, counts = '{}', error = NULL"""
_DONE = """
UPDATE job_runs SET outcome = 'done', finished_at = $3, counts = $4, failures = 0, succeeded_at = $3,
       turn_at = CASE WHEN $5 THEN turn_at ELSE started_at END
 WHERE job = $1 AND run_id = $2"""
_FAILED = "UPDATE job_runs SET outcome = 'failed', finished_at = $3, error = $4, failures = failures + 1 WHERE job = $1 AND run_id = $2"


class JobRun(msgspec.Struct, frozen=True):
    """`turn_at`: when the last turn that succeeded began; early runs, those that `Job.due` asks
    for, are no turns.

    `failures`: in a row. `outcome` running with an old `started_at`: its process was killed, and
    another takes the job over.
    """

    job: str
    run_id: UUID
    started_at: datetime
    outcome: str
    finished_at: datetime | None = None
    counts: dict[str, int] = {}
    error: str | None = None
    turn_at: datetime | None = None
    succeeded_at: datetime | None = None
    failures: int = 0
    next_at: datetime | None = None


_COLUMNS = ", ".join(JobRun.__struct_fields__)


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
    connection: Connection, jobs: Iterable[str] = JOBS
) -> tuple[datetime, dict[str, JobRun]]:
    """The database's time, which all workers share, and the last run by name; one that never ran is
    not there.
    """
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM job_runs WHERE job = ANY($1::text[])", list(jobs)
    )
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now, {row["job"]: JobRun(**dict(row)) for row in rows}


async def begin(connection: Connection, job: str, at: datetime) -> UUID:
    """A run has begun; the answer is its id."""
    run_id = uuid4()
    await connection.execute(_BEGIN, job, run_id, at)
    return run_id


async def succeeded(
    connection: Connection,
    job: str,
    run_id: UUID,
    at: datetime,
    counts: Mapping[str, int],
    *,
    is_early: bool,
) -> None:
    """It did what `counts` says. Nothing is written when another run has begun since."""
    await connection.execute(_DONE, job, run_id, at, dict(counts), is_early)


async def failed(connection: Connection, job: str, run_id: UUID, at: datetime, error: str) -> None:
    """It raised `error`, a class without the text. Nothing is written when another run has begun
    since.
    """
    await connection.execute(_FAILED, job, run_id, at, error[:200])


async def expect(connection: Connection, job: str, at: datetime) -> None:
    """When the job will run next; one that never ran has no row to say it in."""
    await connection.execute("UPDATE job_runs SET next_at = $2 WHERE job = $1", job, at)
