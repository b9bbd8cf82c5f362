"""The turns of jobs, and one run of a job: it is recorded, counted and logged, and its failure
stops nothing else.

A run is known by its id in `job_runs`. Order: the row says `running`; the job works, in
transactions of its own; the row says how it ended. Killed before the end, the turn still counts as
not taken, so the next process that looks runs the job again, and the job's own identities keep it
from doing anything twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from agents.jobs.job import Job, JobContext
from streams import metrics
from streams.exactly_once.crash_points import crash_point
from tables.database import job_runs
from tables.database.connection import Session
from tables.models import JobRun

_APART = timedelta(seconds=1)  # between the starts of two runs at least, whatever `Job.due` says
_LONGEST_PAUSE = timedelta(minutes=1)  # after failures in a row
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Turn:
    """The time at which a job is to run; early: before its regular turn, because something is
    due.
    """

    at: datetime
    is_early: bool = False


def next_turn(last: JobRun | None, every: timedelta, due: datetime | None, now: datetime) -> Turn:
    """Regularly after the last turn that succeeded, earlier when something is due, later while it
    fails (1, 2, 4 … 60 seconds).

    A turn whose time has come is never early: a subject that stays due for hours must not keep the
    job from all others.
    """
    if last is None:
        return Turn(now)
    if last.started_at > now:  # a clock that went back must not stop a job
        return Turn(now)
    regular = Turn(last.started_at if last.turn_at is None else last.turn_at + every)
    turn = (
        Turn(due, is_early=True)
        if due is not None and due < regular.at and now < regular.at
        else regular
    )
    return Turn(max(turn.at, _not_before(last)), turn.is_early)


def _not_before(last: JobRun) -> datetime:
    earliest = last.started_at + _APART
    if last.failures and last.finished_at is not None:
        return max(
            earliest,
            last.finished_at
            + min(timedelta(seconds=1 << min(last.failures - 1, 10)), _LONGEST_PAUSE),
        )
    return earliest


@dataclass(frozen=True)
class RunEnd:
    """The end of a run: what it did, by count, or the class of the exception that it raised."""

    job: str
    took: timedelta
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


async def carry_out(name: str, job: Job, context: JobContext) -> RunEnd:
    """Run the job now, also while another process runs it. An exception is logged, counted and
    recorded, not raised.
    """
    began = time.monotonic()
    run_id = await context.database.until_up(
        lambda session: job_runs.begin(session, name, context.at)
    )
    crash_point("begun", "jobs")
    try:
        counts, error = await job.run(context), ""
    # a job that fails stops neither its worker nor the other jobs
    except Exception as raised:  # noqa: BLE001
        counts, error = {}, type(raised).__name__
        _log.error(
            "a job failed and will be tried again",
            extra={"job": name, "error": error},
            exc_info=raised,
        )
    crash_point("ran", "jobs")
    carried = RunEnd(name, timedelta(seconds=time.monotonic() - began), counts, error)
    await context.database.until_up(lambda session: _record(session, carried, run_id, context))
    _count(carried)
    return carried


async def _record(session: Session, carried: RunEnd, run_id: UUID, context: JobContext) -> None:
    ended = context.at + carried.took
    if carried.error:
        await job_runs.failed(session, carried.job, run_id, ended, carried.error)
    else:
        await job_runs.succeeded(
            session, carried.job, run_id, ended, carried.counts, is_early=context.is_early
        )


def _count(carried: RunEnd) -> None:
    metrics.JOB_RUNS.labels(carried.job, "failed" if carried.error else "done").inc()
    metrics.JOB_SECONDS.labels(carried.job).observe(carried.took.total_seconds())
    if not carried.error and any(carried.counts.values()):
        counts = dict(carried.counts)  # as one field: a count may be named as logging names its own
        _log.info(
            "[JOB] %s",
            carried.job,
            extra={"counts": counts, "seconds": round(carried.took.total_seconds(), 3)},
        )
