"""A series as seen from outside: its children, their sum, and the next occurrences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import and_, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from streams.contracts.fields import Status
from streams.contracts.recurrence import Recurrence
from tables.database.connection import Session
from tables.models import Campaign


@dataclass(frozen=True, slots=True)
class Family:
    """`numbers` of the children that have started and `total_recipients`, their sum; deleted ones
    included: what they sent stays sent.

    `next_at`: when the next child starts; None when the series is not running or has no occurrence
    left.
    """

    numbers: tuple[int, ...] = ()
    total_recipients: int = 0
    next_at: datetime | None = None


async def families(
    session: Session, tenant: str, campaigns: Iterable[Campaign]
) -> Mapping[UUID, Family]:
    """The family of each of these campaigns that is a series; one query for all, none when there is
    no series.
    """
    series = {campaign.id: campaign for campaign in campaigns if campaign.is_series}
    if not series:
        return {}
    is_coming = and_(Campaign.status == Status.SCHEDULED, Campaign.deleted_at.is_(None))
    rows = await session.execute(
        select(
            Campaign.parent_id,
            func.array_agg(aggregate_order_by(Campaign.number, Campaign.number)).filter(
                Campaign.started_at.is_not(None)
            ),
            func.coalesce(func.sum(Campaign.total_recipients), 0),
            func.min(Campaign.scheduled_at).filter(is_coming),
        )
        .where(Campaign.tenant_id == tenant, Campaign.parent_id.in_(list(series)))
        .group_by(Campaign.parent_id)
    )
    found = {parent: (numbers or (), total or 0, at) for parent, numbers, total, at in rows}
    return {one.id: _family(one, *found.get(one.id, ((), 0, None))) for one in series.values()}


def _family(
    series: Campaign, numbers: Iterable[int], total: int, of_children: datetime | None
) -> Family:
    instants = [at for at in (of_children, series.next_occurrence_at) if at is not None]
    next_at = min(instants, default=None) if series.status is Status.RUNNING else None
    return Family(tuple(numbers), total, next_at)


async def newest_children(
    session: Session, tenant: str, series_id: UUID, limit: int
) -> list[Campaign]:
    """By occurrence, the latest first."""
    children = select(Campaign).where(
        Campaign.tenant_id == tenant,
        Campaign.parent_id == series_id,
        Campaign.deleted_at.is_(None),
    )
    newest = children.order_by(Campaign.occurrence_at.desc(), Campaign.id)
    return await session.every(newest.limit(limit))


@dataclass(frozen=True, slots=True)
class Outlook:
    """`sent`: occurrences that have started. `coming`: the next ones, in UTC."""

    sent: int
    coming: tuple[datetime, ...]


async def outlook(session: Session, series: Campaign, at: datetime, count: int) -> Outlook:
    """The next `count` occurrences at most: from now, or from the `scheduledAt` of a series that
    has not begun. None of one that is over.

    An occurrence whose child was cancelled is left out.
    """
    is_left_out = and_(Campaign.status == Status.CANCELLED, Campaign.occurrence_at > at)
    found = await session.execute(
        select(
            func.count().filter(Campaign.started_at.is_not(None)),
            func.array_agg(Campaign.occurrence_at).filter(is_left_out),
        ).where(
            Campaign.tenant_id == series.tenant_id,
            Campaign.parent_id == series.id,
            Campaign.occurrence_at.is_not(None),
        )
    )
    sent, cancelled = found.one()
    if series.recurring_schedule is None or series.status in (Status.COMPLETED, Status.CANCELLED):
        return Outlook(sent, ())
    recurrence, start = Recurrence.stored(series.recurring_schedule), at
    if series.started_at is None and series.scheduled_at is not None:
        start = max(at, series.scheduled_at - timedelta(microseconds=1))
    left = (
        count
        if recurrence.max_occurrences is None
        else min(count, recurrence.max_occurrences - sent)
    )
    occurrences = (one for one in recurrence.after(start) if one not in (cancelled or ()))
    return Outlook(sent, tuple(islice(occurrences, max(0, left))))
