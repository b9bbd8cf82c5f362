"""The job `campaign-recurring-trigger`: makes the children of running series, and completes a
series that is at its end.

Identity: a child is (series, occurrence), unique in SQL. Order of effects: one SQL transaction per
series, on its locked row, holds the children, their outbox records and `next_occurrence_at`. Killed
before the commit, nothing has happened and the next run makes them; killed after it, they are
there, `next_occurrence_at` is behind them, and only log lines are lost. Starting a child is the
scheduler's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

from agents.jobs.for_each import for_each
from agents.jobs.job import Job, JobContext
from streams.exactly_once.crash_points import crash_point
from tables.campaigns.changes import Change
from tables.campaigns.occurrences import (
    advance,
    complete,
    due_series,
    next_due,
    numbers_of,
    running_series,
)
from tables.database.connection import Session


async def trigger(context: JobContext) -> Mapping[str, int]:
    """How many children were made and how many series completed."""
    done = Counter[str]({"children": 0, "completed": 0})

    async def advance_one(series: tuple[str, UUID]) -> None:
        done.update(await _advance(context, *series))

    await for_each(
        await context.database.until_up(
            lambda session: due_series(session, context.settings, context.at)
        ),
        advance_one,
        campaign_id=lambda series: series[1],
        failure="a recurring campaign could not go on because of a bug",
    )
    return done


async def _advance(context: JobContext, tenant: str, series_id: UUID) -> Mapping[str, int]:
    async def work(session: Session) -> tuple[tuple[Change, ...], Change | None]:
        if (series := await running_series(session, tenant, series_id)) is None:
            return (), None
        advanced = await advance(session, context.settings, series, context.at)
        counted = context.stats.campaign(*await numbers_of(session, tenant, series_id)).total
        completed = await complete(
            session, advanced.series, context.at, counted.sent, counted.skipped
        )
        crash_point("before-commit", "recurring")
        return advanced.changes, completed

    created, completed = await context.database.until_up(work)
    crash_point("after-commit", "recurring")
    for change in (*created, *((completed,) if completed else ())):
        change.log()
    return {"children": len(created), "completed": int(completed is not None)}


RECURRING = Job(every=lambda settings: settings.recurring_interval, run=trigger, due=next_due)
