"""The occurrences of a series: each becomes a child, a campaign with its own audience, counts and
message ids; then the series is complete.

While a series runs, its row's `next_occurrence_at` is the first occurrence without a child. Whoever
holds the row's lock makes children; the unique index on (parent_id, occurrence_at) is the second
lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from streams.contracts import events
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import Status
from streams.contracts.local_time import shown
from streams.contracts.recurrence import Recurrence, plan
from streams.settings import Settings
from tables.campaigns.ab_tests import copy_variants
from tables.campaigns.campaign import Campaign, change_campaign, insert_child, of_row
from tables.campaigns.times import max_lateness
from tables.commands.answers import Change
from tables.database.connection import Connection
from tables.database.outbox import append, lifecycle

MARGIN = timedelta(
    minutes=5
)  # a child is there so long before its instant, and the next hourly run may be so late
UNFINISHED = (Status.SCHEDULED, Status.RUNNING, Status.PAUSED)
_LONGEST_NAME = 255
# What the children take over; the rest of a child is its own.
_COPIED = (
    *("tenant_id", "description", "channel", "template_id", "segment_ids", "exclude_segment_ids"),
    *("settings", "ab_test_config", "throttle_config", "created_by"),
)
_MOST = 2**31 - 1
_RUNNING = (
    "FROM campaigns s WHERE s.type = 'recurring' AND s.status = 'running' AND s.deleted_at IS NULL"
)


@dataclass(frozen=True)
class Advanced:
    """The series afterwards, and the children that were made, to be logged once that is committed."""

    series: Campaign
    changes: tuple[Change, ...] = ()


async def advance(
    connection: Connection, settings: Settings, series: Campaign, at: datetime
) -> Advanced:
    """Make the children due until the next run of the job and a margin, given the lock of a running
    series' row. A repeat makes none.
    """
    assert series.recurring_schedule is not None
    recurrence = Recurrence.stored(series.recurring_schedule)
    made, last = await _made(connection, series)
    left = None if recurrence.max_occurrences is None else recurrence.max_occurrences - made
    # exhausted by count, but a child was cancelled before it started: another one takes its place
    start = series.next_occurrence_at or recurrence.next(max(at, last or at))
    if start is None or (left is not None and left <= 0):
        return Advanced(await point_to(connection, series, None))
    planned = plan(
        recurrence, start, at, at + settings.recurring_interval + MARGIN, left, max_lateness(series)
    )
    added = [
        await _add_child(connection, series, recurrence, occurrence, at)
        for occurrence in planned.due
    ]
    return Advanced(
        await point_to(connection, series, planned.next),
        tuple(change for change in added if change),
    )


async def due_series(
    connection: Connection, settings: Settings, at: datetime
) -> list[tuple[str, UUID]]:
    """(tenant, id) of the running series for which the job has something to do, or may have: what
    is exhausted may be complete.
    """
    rows = await connection.fetch(
        f"SELECT s.tenant_id, s.id {_RUNNING} AND (s.next_occurrence_at IS NULL OR s.next_occurrence_at <= $1) ORDER BY s.number",
        at + settings.recurring_interval + MARGIN,
    )
    return [(row["tenant_id"], row["id"]) for row in rows]


async def next_due(connection: Connection) -> datetime | None:
    """When the job must run: a margin before the next occurrence without a child, at once when a
    series is complete but for its status.
    """
    found: datetime | None = await connection.fetchval(
        "SELECT min(CASE WHEN s.next_occurrence_at IS NOT NULL THEN s.next_occurrence_at - $1::interval"
        " WHEN NOT EXISTS (SELECT FROM campaigns c WHERE c.parent_id = s.id AND c.tenant_id = s.tenant_id AND c.deleted_at IS NULL"
        f" AND c.status IN ('scheduled', 'running', 'paused')) THEN s.updated_at END) {_RUNNING}",
        MARGIN,
    )
    return found


async def running_series(connection: Connection, tenant: str, series_id: UUID) -> Campaign | None:
    """The series, locked; None when it does not run any more, or somebody else is at it."""
    row = await connection.fetchrow(
        f"SELECT s.* {_RUNNING} AND s.tenant_id = $1 AND s.id = $2 FOR NO KEY UPDATE SKIP LOCKED",
        tenant,
        series_id,
    )
    return None if row is None else of_row(row)


async def numbers_of(connection: Connection, tenant: str, series_id: UUID) -> list[int]:
    """The numbers of the children that have started, deleted ones included: what they sent stays
    sent.
    """
    statement = "SELECT number FROM campaigns WHERE tenant_id = $1 AND parent_id = $2 AND started_at IS NOT NULL"
    return [row["number"] for row in await connection.fetch(statement, tenant, series_id)]


async def complete(
    connection: Connection, series: Campaign, at: datetime, sent: int, skipped: int
) -> Change | None:
    """Complete a series without occurrences once its children are final; None while one is not.
    `sent`, `skipped`: as far as is known.
    """
    if series.next_occurrence_at is not None:
        return None
    sums = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE status = ANY($3::campaign_status[]) AND deleted_at IS NULL) AS unfinished,"
        " coalesce(sum(total_recipients), 0) AS total, coalesce(sum(sent_count), 0) AS sent, coalesce(sum(skipped_count), 0) AS skipped"
        " FROM campaigns WHERE tenant_id = $1 AND parent_id = $2",
        *(series.tenant_id, series.id, UNFINISHED),
    )
    assert sums is not None
    if sums["unfinished"]:
        return None
    total, sent, skipped = sums["total"], max(sent, sums["sent"]), max(skipped, sums["skipped"])
    # the columns are the specification's integers; the event and the API's sums are exact
    counts = {
        "total_recipients": min(total, _MOST),
        "sent_count": min(sent, _MOST),
        "skipped_count": min(skipped, _MOST),
    }
    after = await change_campaign(
        connection,
        series,
        at,
        status=Status.COMPLETED,
        completed_at=at,
        status_reason=None,
        **counts,
    )
    correlation_id, started = _origin(after), rfc3339(after.started_at or at)
    event = events.Completed(
        str(after.id), after.name, after.channel, total, sent, skipped, started, rfc3339(at)
    )
    await append(
        connection, [lifecycle(event, after.tenant_id, after.id, after.version, correlation_id, at)]
    )
    return Change(after.tenant_id, correlation_id, after.id, series.status, after.status)


async def _made(connection: Connection, series: Campaign) -> tuple[int, datetime | None]:
    """How many occurrences count, and the last one. One that was cancelled before it started does
    not count.
    """
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE status <> 'cancelled' OR started_at IS NOT NULL) AS made, max(occurrence_at) AS last"
        " FROM campaigns WHERE tenant_id = $1 AND parent_id = $2 AND occurrence_at IS NOT NULL",
        *(series.tenant_id, series.id),
    )
    assert row is not None
    return row["made"], row["last"]


async def _add_child(
    connection: Connection,
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
        connection,
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
        await copy_variants(connection, series.id, child.id)
    correlation_id, named = _origin(series), (str(child.id), child.name, child.channel)
    created = events.Created(*named, child.type, str(child.created_by))
    scheduled = events.Scheduled(*named, rfc3339(occurrence), recurrence.zone)
    records = [
        lifecycle(event, child.tenant_id, child.id, child.version, correlation_id, at)
        for event in (created, scheduled)
    ]
    await append(connection, records)
    return Change(child.tenant_id, correlation_id, child.id, Status.DRAFT, child.status)


async def point_to(
    connection: Connection, series: Campaign, occurrence: datetime | None
) -> Campaign:
    """Set `next_occurrence_at`. Nobody sees it change, so the version stays."""
    if occurrence != series.next_occurrence_at:
        await connection.execute(
            "UPDATE campaigns SET next_occurrence_at = $2 WHERE id = $1", series.id, occurrence
        )
    return msgspec.structs.replace(series, next_occurrence_at=occurrence)


def _origin(series: Campaign) -> str:
    return series.correlation_id or str(series.id)
