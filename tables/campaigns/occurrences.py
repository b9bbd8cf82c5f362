"""The occurrences of a series: each becomes a child, a campaign with its own audience, counts and
message ids; then the series is complete.

While a series runs, its row's `next_occurrence_at` is the first occurrence without a child.
Children are made under the row's lock; the unique index on (parent_id, occurrence_at) is the second
lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import case, exists, func, not_, or_, select
from sqlalchemy.orm import aliased

from streams.contracts import events
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import ACTIVE, MAX_INTEGER, CampaignType, Status
from streams.contracts.recurrence import Recurrence, plan
from streams.contracts.values.local_time import shown
from streams.settings import Settings
from tables.campaigns.ab_tests import copy_variants
from tables.campaigns.campaign import amend_campaign, change_campaign, insert_child
from tables.campaigns.changes import Change, publish
from tables.campaigns.times import max_lateness
from tables.database.connection import Session
from tables.models import Campaign

MARGIN = timedelta(
    minutes=5
)  # a child is there so long before its instant, and the next hourly run may be so late
UNFINISHED = (Status.SCHEDULED, *ACTIVE)
_LONGEST_NAME = 255
# What the children take over; the rest of a child is its own.
_COPIED = (
    *("tenant_id", "description", "channel", "template_id", "segment_ids", "exclude_segment_ids"),
    *("settings", "ab_test_config", "throttle_config", "created_by"),
)
_RUNNING = (
    Campaign.type == CampaignType.RECURRING,
    Campaign.status == Status.RUNNING,
    Campaign.deleted_at.is_(None),
)


@dataclass(frozen=True)
class AdvancedSeries:
    """The series afterwards, and its new children, to be logged once that is committed."""

    series: Campaign
    changes: tuple[Change, ...] = ()


async def advance(
    session: Session, settings: Settings, series: Campaign, at: datetime
) -> AdvancedSeries:
    """Make the children due until the next run of the job and a margin, given the lock of a running
    series' row. A repeat makes none.
    """
    assert series.recurring_schedule is not None
    recurrence = Recurrence.stored(series.recurring_schedule)
    made, last = await _made(session, series)
    left = None if recurrence.max_occurrences is None else recurrence.max_occurrences - made
    # exhausted by count, but a child was cancelled before it started: another one takes its place
    start = series.next_occurrence_at or recurrence.next(max(at, last or at))
    if start is None or (left is not None and left <= 0):
        return AdvancedSeries(await point_to(session, series, None))
    planned = plan(
        recurrence, start, at, at + settings.recurring_interval + MARGIN, left, max_lateness(series)
    )
    added = [
        await _add_child(session, series, recurrence, occurrence, at) for occurrence in planned.due
    ]
    return AdvancedSeries(
        await point_to(session, series, planned.next),
        tuple(change for change in added if change),
    )


async def due_series(session: Session, settings: Settings, at: datetime) -> list[tuple[str, UUID]]:
    """(tenant, id) of the running series for which the job has something to do, or may have: what
    is exhausted may be complete.
    """
    begins = Campaign.next_occurrence_at
    found = await session.execute(
        select(Campaign.tenant_id, Campaign.id)
        .where(
            *_RUNNING, or_(begins.is_(None), begins <= at + settings.recurring_interval + MARGIN)
        )
        .order_by(Campaign.number)
    )
    return list(found)


async def next_due(session: Session) -> datetime | None:
    """When the job must run: a margin before the next occurrence without a child, at once when a
    series is complete but for its status.
    """
    child = aliased(Campaign)
    unfinished = exists().where(
        child.parent_id == Campaign.id,
        child.tenant_id == Campaign.tenant_id,
        child.deleted_at.is_(None),
        child.status.in_(UNFINISHED),
    )
    instant = case(
        (Campaign.next_occurrence_at.is_not(None), Campaign.next_occurrence_at - MARGIN),
        (not_(unfinished), Campaign.updated_at),
    )
    found: datetime | None = await session.scalar(select(func.min(instant)).where(*_RUNNING))
    return found


async def running_series(session: Session, tenant: str, series_id: UUID) -> Campaign | None:
    """The series, locked; None when it does not run any more, or another process holds the lock."""
    wanted = (*_RUNNING, Campaign.tenant_id == tenant, Campaign.id == series_id)
    return await session.first(
        select(Campaign).where(*wanted).with_for_update(key_share=True, skip_locked=True)
    )


async def numbers_of(session: Session, tenant: str, series_id: UUID) -> list[int]:
    """The numbers of the children that have started, deleted ones included: what they sent stays
    sent.
    """
    started = select(Campaign.number).where(
        Campaign.tenant_id == tenant,
        Campaign.parent_id == series_id,
        Campaign.started_at.is_not(None),
    )
    return list(await session.scalars(started))


async def complete(
    session: Session, series: Campaign, at: datetime, sent: int, skipped: int
) -> Change | None:
    """Complete a series without occurrences once its children are final; None while one is not.
    `sent`, `skipped`: as far as is known.
    """
    if series.next_occurrence_at is not None:
        return None
    unfinished, total, sent_by_children, skipped_by_children = (
        await session.execute(
            select(
                func.count().filter(Campaign.status.in_(UNFINISHED), Campaign.deleted_at.is_(None)),
                func.coalesce(func.sum(Campaign.total_recipients), 0),
                func.coalesce(func.sum(Campaign.sent_count), 0),
                func.coalesce(func.sum(Campaign.skipped_count), 0),
            ).where(Campaign.tenant_id == series.tenant_id, Campaign.parent_id == series.id)
        )
    ).one()
    if unfinished:
        return None
    total, sent = total or 0, max(sent, sent_by_children or 0)
    skipped = max(skipped, skipped_by_children or 0)
    # the columns are the specification's integers; the event and the API's sums are exact
    counts = {
        "total_recipients": min(total, MAX_INTEGER),
        "sent_count": min(sent, MAX_INTEGER),
        "skipped_count": min(skipped, MAX_INTEGER),
    }
    after = await change_campaign(
        session,
        series,
        at,
        status=Status.COMPLETED,
        completed_at=at,
        status_reason=None,
        **counts,
    )
    cause, started = events.Cause(after.origin, at), rfc3339(after.started_at or at)
    event = events.Completed(*after.head, total, sent, skipped, started, rfc3339(at))
    await publish(session, after, event, cause)
    return Change.of(after, series.status, cause)


async def _made(session: Session, series: Campaign) -> tuple[int, datetime | None]:
    """How many occurrences count, and the last one. One that was cancelled before it started does
    not count.
    """
    counts = or_(Campaign.status != Status.CANCELLED, Campaign.started_at.is_not(None))
    found = await session.execute(
        select(func.count().filter(counts), func.max(Campaign.occurrence_at)).where(
            Campaign.tenant_id == series.tenant_id,
            Campaign.parent_id == series.id,
            Campaign.occurrence_at.is_not(None),
        )
    )
    made, last = found.one()
    return made, last


async def _add_child(
    session: Session,
    series: Campaign,
    recurrence: Recurrence,
    occurrence: datetime,
    at: datetime,
) -> Change | None:
    local = shown(occurrence, recurrence.zone)
    name = f"{series.name[: _LONGEST_NAME - len(local) - 1]} {local}"
    columns = {column: getattr(series, column) for column in _COPIED}
    own = {
        "name": name,
        "status": Status.SCHEDULED,
        "scheduled_at": occurrence,
        "timezone": recurrence.zone,
    }
    child = await insert_child(
        session,
        parent_id=series.id,
        occurrence_at=occurrence,
        created_at=at,
        updated_at=at,
        **columns,
        **own,
    )
    if child is None:
        return None
    if child.ab_test_config is not None:
        await copy_variants(session, series.id, child.id)
    cause = events.Cause(series.origin, at)
    created = events.Created(*child.head, child.type, str(child.created_by))
    scheduled = events.Scheduled(*child.head, rfc3339(occurrence), recurrence.zone)
    await publish(session, child, created, cause)
    await publish(session, child, scheduled, cause)
    return Change.of(child, Status.DRAFT, cause)


async def point_to(session: Session, series: Campaign, occurrence: datetime | None) -> Campaign:
    """Set `next_occurrence_at`, which no answer shows."""
    if occurrence == series.next_occurrence_at:
        return series
    return await amend_campaign(session, series, next_occurrence_at=occurrence)
