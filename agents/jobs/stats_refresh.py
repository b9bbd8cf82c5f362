"""The job `campaign-stats-refresh`: the live stats become rows of `campaign_stats`, and performance
facts for analytics.

Every five minutes it writes all changed campaigns; and a completed campaign as soon as the live
counts have caught up with the messages sent. Identity: a campaign's row has a revision, and is
replaced only by newer counts, so two runs at once write each change once. Order: rows and outbox
records are one transaction per 100 campaigns. Killed before its commit, nothing of it is there, and
the next run writes it; killed after it, the next run finds nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from agents.jobs.job import Job, JobContext
from streams.exactly_once.crash_points import crash_point
from tables.database.connection import Session
from tables.stats import materialised as campaign_stats
from tables.stats import seals
from tables.stats.materialised import Calculated

T = TypeVar("T")
_AT_ONCE = 100  # campaigns a transaction: some milliseconds of the worker's time
_COMPARED = 1_000  # live versions a query
# how long a completed campaign is looked at every second; then at the regular turns
_SOON = timedelta(minutes=10)
_LATE = timedelta(days=2)


async def refresh(context: JobContext) -> dict[str, int]:
    """`campaigns`: how many rows were replaced; `sealed`: of how many campaigns the counts were
    made final, at most 100 a run.
    """
    behind = await context.database.until_up(
        partial(
            campaign_stats.unfinished, since=context.at - (_SOON if context.is_early else _LATE)
        )
    )
    if not context.is_early:
        behind |= await context.database.until_up(campaign_stats.uncrowned)
        for numbers in _piles(context.stats.numbers(), _COMPARED):
            versions = {number: context.stats.version(number) for number in numbers}
            behind |= await context.database.until_up(
                partial(campaign_stats.changed, versions=versions)
            )
    written = 0
    for ids in _piles(sorted(behind), _AT_ONCE):
        written += await context.database.until_up(partial(_write, context=context, ids=ids))
        crash_point("written", "stats-refresh")
    return {"campaigns": written, "sealed": 0 if context.is_early else await _seal(context)}


async def due(session: Session) -> datetime | None:
    """The completion time of the first campaign without materialised complete counts."""
    return await campaign_stats.first_unfinished(session, await session.clock() - _SOON)


REFRESH = Job(every=lambda settings: settings.stats_refresh_interval, run=refresh, due=due)


async def _write(session: Session, context: JobContext, ids: Sequence[UUID]) -> int:
    written = 0
    for subject in await campaign_stats.subjects(session, ids):
        calculated = Calculated(subject, context.stats.campaign(*subject.numbers), context.at)
        if context.is_early and not calculated.is_complete:
            continue  # its regular turn comes; until then its counts are on their way
        written += await campaign_stats.write(session, calculated)
    crash_point("before-commit", "stats-refresh")
    return written


async def _seal(context: JobContext) -> int:
    found = await context.database.until_up(
        partial(
            seals.quiet_since, instant=context.at - context.settings.stats_retention, limit=_AT_ONCE
        )
    )
    # a campaign that the live stats no longer know has no shards to seal, and must not stand in
    # front of the others for ever
    materialised = [
        one for one in found if context.stats.version(one.number) in (one.live_version, 0)
    ]
    return await context.database.until_up(
        partial(seals.seal, found=materialised, shards=context.stats.shards, at=context.at)
    )


def _piles(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
