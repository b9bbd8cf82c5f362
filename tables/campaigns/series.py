"""What a series looks like from outside: the sum of its children, which of them there are, and what
comes next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from streams.contracts.fields import Status
from streams.contracts.recurrence import Recurrence
from tables.campaigns.campaign import Campaign, of_row
from tables.campaigns.times import RECURRING
from tables.database.connection import Connection, Row


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
    connection: Connection, tenant: str, campaigns: Iterable[Campaign]
) -> Mapping[UUID, Family]:
    """The family of each of these campaigns that is a series; one query for all, none when there is
    no series.
    """
    series = {campaign.id: campaign for campaign in campaigns if campaign.type == RECURRING}
    if not series:
        return {}
    rows = await connection.fetch(
        "SELECT parent_id, coalesce(array_agg(number ORDER BY number) FILTER (WHERE started_at IS NOT NULL), '{}') AS numbers,"
        " coalesce(sum(total_recipients), 0)::bigint AS total,"
        " min(scheduled_at) FILTER (WHERE status = 'scheduled' AND deleted_at IS NULL) AS next_at"
        " FROM campaigns WHERE tenant_id = $1 AND parent_id = ANY($2::uuid[]) GROUP BY parent_id",
        *(tenant, list(series)),
    )
    found = {row["parent_id"]: row for row in rows}
    return {one.id: _family(one, found.get(one.id)) for one in series.values()}


def _family(series: Campaign, row: Row | None) -> Family:
    numbers, total, of_children = (
        ((), 0, None) if row is None else (tuple(row["numbers"]), row["total"], row["next_at"])
    )
    instants = [at for at in (of_children, series.next_occurrence_at) if at is not None]
    return Family(
        numbers, total, min(instants, default=None) if series.status is Status.RUNNING else None
    )


async def newest_children(
    connection: Connection, tenant: str, series_id: UUID, limit: int
) -> list[Campaign]:
    """By occurrence, the latest first."""
    rows = await connection.fetch(
        "SELECT * FROM campaigns WHERE tenant_id = $1 AND parent_id = $2 AND deleted_at IS NULL ORDER BY occurrence_at DESC, id LIMIT $3",
        *(tenant, series_id, limit),
    )
    return [of_row(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Outlook:
    """`sent`: occurrences that have started. `coming`: the next ones, in UTC."""

    sent: int
    coming: tuple[datetime, ...]


async def outlook(connection: Connection, series: Campaign, at: datetime, count: int) -> Outlook:
    """The next `count` occurrences at most: from now, or from the `scheduledAt` of a series that
    has not begun. None of one that is over.

    An occurrence whose child was cancelled is left out.
    """
    row = await connection.fetchrow(
        "SELECT count(*) FILTER (WHERE started_at IS NOT NULL) AS sent,"
        " coalesce(array_agg(occurrence_at) FILTER (WHERE status = 'cancelled' AND occurrence_at > $3), '{}') AS cancelled"
        " FROM campaigns WHERE tenant_id = $1 AND parent_id = $2 AND occurrence_at IS NOT NULL",
        *(series.tenant_id, series.id, at),
    )
    assert row is not None
    sent: int = row["sent"]
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
    occurrences = (one for one in recurrence.after(start) if one not in row["cancelled"])
    return Outlook(sent, tuple(islice(occurrences, max(0, left))))
