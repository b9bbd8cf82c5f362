"""Campaign rows: one frozen value per row, how it is read, locked, changed and listed, and how the
API spells it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec

from streams.contracts.envelope import Record, rfc3339
from streams.contracts.fields import Channel, Status
from streams.errors import CampaignError, FieldError, NotFoundError
from streams.records.sending import Limits
from tables.database.connection import Connection, Row
from tables.database.search import containing

INTERNAL = frozenset(
    {
        "number",
        "keyEpoch",
        "correlationId",
        "waitsBelow",
        "nextOccurrenceAt",
        "occurrenceAt",
        "isDirectoryDown",
    }
)
_FILTERS = """
  FROM campaigns
 WHERE tenant_id = $1 AND deleted_at IS NULL
   AND ($2::campaign_status IS NULL OR status = $2)
   AND ($3::campaign_channel IS NULL OR channel = $3)
   AND ($4::text IS NULL OR name COLLATE pg_c_utf8 ILIKE $4)
   AND ($5::uuid IS NULL OR parent_id = $5)"""


class Campaign(Record, frozen=True, omit_defaults=False):
    """One row. `version` grows by one with every change and is the ETag; `number` is the campaign's
    name on the wire of messages.
    """

    id: UUID
    number: int
    tenant_id: str
    name: str
    description: str | None
    channel: Channel
    status: Status
    type: str
    template_id: UUID | None
    segment_ids: tuple[UUID, ...]
    exclude_segment_ids: tuple[UUID, ...]
    scheduled_at: datetime | None
    timezone: str | None
    recurring_schedule: dict[str, Any] | None
    settings: dict[str, Any]
    ab_test_config: dict[str, Any] | None
    throttle_config: dict[str, int] | None
    started_at: datetime | None
    completed_at: datetime | None
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    version: int
    parent_id: UUID | None
    total_recipients: int | None
    sent_count: int | None
    skipped_count: int | None
    sample_sent_at: datetime | None
    key_epoch: int | None
    status_reason: str | None
    correlation_id: str | None
    ab_test_until: datetime | None
    winner_variant_id: str | None
    waits_below: int | None
    next_occurrence_at: datetime | None
    occurrence_at: datetime | None
    is_directory_down: bool

    @property
    def limits(self) -> Limits:
        """Of this campaign alone."""
        config = self.throttle_config or {}
        return Limits(per_hour=config.get("messagesPerHour"), per_day=config.get("messagesPerDay"))


_COLUMNS = ", ".join(Campaign.__struct_fields__)


def of_row(row: Row) -> Campaign:
    """The value of a `SELECT *` or RETURNING row of `campaigns`."""
    values = {name: row[name] for name in Campaign.__struct_fields__}
    values |= {"status": Status(row["status"]), "segment_ids": tuple(row["segment_ids"])}
    return Campaign(**(values | {"exclude_segment_ids": tuple(row["exclude_segment_ids"])}))


def presented(campaign: Campaign) -> dict[str, Any]:
    """The campaign as the API spells it: camelCase, RFC 3339 with milliseconds, every field of the
    specification, nulls included.
    """
    fields: dict[str, Any] = msgspec.to_builtins(campaign, builtin_types=(datetime,))
    return {name: _plain(value) for name, value in fields.items() if name not in INTERNAL}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    return list(value) if isinstance(value, tuple) else value


async def get_campaign(connection: Connection, tenant: str, campaign_id: UUID) -> Campaign:
    """Raises NotFoundError when it does not exist, is deleted, or belongs to another tenant."""
    return await _one(connection, "", tenant, campaign_id)


async def lock_campaign(connection: Connection, tenant: str, campaign_id: UUID) -> Campaign:
    """`get_campaign`, and nobody else changes the row until this transaction ends: that is what
    orders the outbox per campaign.
    """
    return await _one(connection, "FOR NO KEY UPDATE", tenant, campaign_id)


async def _one(connection: Connection, lock: str, tenant: str, campaign_id: UUID) -> Campaign:
    statement = f"SELECT {_COLUMNS} FROM campaigns WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL {lock}"
    row = await connection.fetchrow(statement, tenant, campaign_id)
    if row is None:
        raise NotFoundError(f"There is no campaign {campaign_id}.")
    return of_row(row)


async def insert_campaign(connection: Connection, **columns: Any) -> Campaign:
    """A new row in its first version."""
    names, places = ", ".join(columns), ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    row = await connection.fetchrow(
        f"INSERT INTO campaigns ({names}) VALUES ({places}) RETURNING {_COLUMNS}", *columns.values()
    )
    assert row is not None
    return of_row(row)


async def insert_child(connection: Connection, **columns: Any) -> Campaign | None:
    """A new child of a series; None when this occurrence (parent_id, occurrence_at) has one
    already.
    """
    names, places = ", ".join(columns), ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    row = await connection.fetchrow(
        f"INSERT INTO campaigns ({names}) VALUES ({places})"
        f" ON CONFLICT (parent_id, occurrence_at) WHERE occurrence_at IS NOT NULL DO NOTHING RETURNING {_COLUMNS}",
        *columns.values(),
    )
    return None if row is None else of_row(row)


async def change_campaign(
    connection: Connection, campaign: Campaign, at: datetime, **columns: Any
) -> Campaign:
    """Set columns of a row that the caller has locked; the campaign as its next version."""
    assignments = "".join(f", {name} = ${n}" for n, name in enumerate(columns, 3))
    row = await connection.fetchrow(
        f"UPDATE campaigns SET version = version + 1, updated_at = $2{assignments} WHERE id = $1 RETURNING {_COLUMNS}",
        campaign.id,
        at,
        *columns.values(),
    )
    assert row is not None
    return of_row(row)


async def list_campaigns(
    connection: Connection,
    tenant: str,
    *,
    page: int = 1,
    page_size: int = 20,
    status: str | None = None,
    channel: str | None = None,
    search: str | None = None,
    parent_id: UUID | None = None,
) -> tuple[list[Campaign], int]:
    """A page, newest first, and how many there are; `search` finds a part of the name, whatever its
    case.

    Raises CampaignError for a page outside 1..10,000, a size outside 1..100, and for a status or
    channel that does not exist.
    """
    _check(page, page_size, status, channel)
    filters = (tenant, status, channel, containing(search), parent_id)
    total = await connection.fetchval(f"SELECT count(*) {_FILTERS}", *filters)
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} {_FILTERS} ORDER BY created_at DESC, id DESC LIMIT $6 OFFSET $7",
        *filters,
        page_size,
        (page - 1) * page_size,
    )
    return [of_row(row) for row in rows], total


async def count_running(connection: Connection, tenant: str) -> int:
    """How many campaigns of the tenant are running; exact while the caller holds the tenant's row
    (`lock_tenant`).

    A series sends nothing itself: its children count.
    """
    statement = "SELECT count(*) FROM campaigns WHERE tenant_id = $1 AND status = 'running' AND type <> 'recurring'"
    return int(await connection.fetchval(statement, tenant))


def _check(page: int, page_size: int, status: str | None, channel: str | None) -> None:
    wrong = []
    if not 1 <= page <= 10_000:
        wrong.append(FieldError("page", "1 to 10,000"))
    if not 1 <= page_size <= 100:
        wrong.append(FieldError("pageSize", "1 to 100"))
    if status is not None and status not in list(Status):
        wrong.append(FieldError("status", f"one of {', '.join(Status)}"))
    if channel is not None and channel not in get_args(Channel):
        wrong.append(FieldError("channel", f"one of {', '.join(get_args(Channel))}"))
    if wrong:
        raise CampaignError(
            "; ".join(f"{error.field}: {error.message}" for error in wrong), errors=tuple(wrong)
        )
