"""The ledger of recipients: its derived row ids, the contact fields that templates can ask for, its
pages for the API.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from streams.contracts.envelope import Record
from streams.errors import FieldError, broken
from streams.records.message_id import MAX_ORDINAL
from tables.campaigns.campaign import Campaign
from tables.campaigns.times import RECURRING
from tables.database.connection import Connection

_VERSION_AND_VARIANT = (0x8 << 76) | (0x8 << 60)  # UUIDv8, RFC 9562, section 5.8

# template name -> column of contacts
FIELDS = MappingProxyType(
    {
        "externalId": "external_id",
        "email": "email",
        "phone": "phone",
        "pushToken": "push_token",
        "firstName": "first_name",
        "lastName": "last_name",
        "timeZone": "time_zone",
        "locale": "locale",
        "attributes": "attributes",
    }
)

STATUSES = (
    "pending",
    "sent",
    "delivered",
    "bounced",
    "failed",
    "opened",
    "clicked",
)  # in order of precedence, as in SQL
_COLUMNS = (
    "id, contact_id, status, variant_id, sent_at, delivered_at, opened_at, clicked_at, failed_at, failure_reason, message_id,"
    " unsubscribed_at, complained_at"
)


def recipient_id(number: int, ordinal: int) -> UUID:
    """The row id of a recipient, as the SQL function of the same name; ids sort by (number,
    ordinal).

    `ordinal` may be one past the last, 2^24: the bound of a range, the first id of the next
    campaign.
    """
    if ordinal > MAX_ORDINAL:
        number, ordinal = number + 1, ordinal - MAX_ORDINAL - 1
    return UUID(
        int=number << 80 | _VERSION_AND_VARIANT | (ordinal >> 12) << 64 | (ordinal & 0xFFF) << 48
    )


def ordinal_of(row_id: UUID) -> int:
    """The ordinal in a row id."""
    return (row_id.int >> 64 & 0xFFF) << 12 | row_id.int >> 48 & 0xFFF


class Recipient(Record, frozen=True):
    """A row of the ledger. `recipient_number` is the ordinal; a skipped one is `failed`,
    `skipped:<why>`, without `sent_at`.
    """

    id: UUID
    recipient_number: int
    contact_id: UUID
    status: str
    variant_id: str | None = None
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    failed_at: datetime | None = None
    failure_reason: str | None = None
    message_id: UUID | None = None
    unsubscribed_at: datetime | None = None
    complained_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecipientPage:
    """Some recipients in ordinal order, how many there are in all, and the cursor of those that
    follow, None at the end.
    """

    recipients: list[Recipient]
    total: int
    next_cursor: str | None


async def list_recipients(
    connection: Connection,
    campaign: Campaign,
    *,
    status: str | None = None,
    page: int = 1,
    page_size: int = 20,
    cursor: str | None = None,
) -> RecipientPage:
    """A page of the ledger: by number (cost grows with it), or the one after `cursor` (cost does
    not grow).

    Raises CampaignError for an unknown status, a bad cursor, a page outside 1..10,000 and a size
    outside 1..1,000.
    """
    _check(status, page, page_size)
    first = recipient_id(campaign.number, 0) if cursor is None else _after(cursor, campaign.number)
    end = recipient_id(campaign.number, MAX_ORDINAL + 1)
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM campaign_recipients WHERE tenant_id = $1 AND id >= $2 AND id < $3"
        " AND ($4::recipient_status IS NULL OR status = $4) ORDER BY id LIMIT $5 OFFSET $6",
        *(
            campaign.tenant_id,
            first,
            end,
            status,
            page_size + 1,
            0 if cursor else (page - 1) * page_size,
        ),
    )
    found = [Recipient(**row, recipient_number=ordinal_of(row["id"])) for row in rows[:page_size]]
    next_cursor = found[-1].id.hex if len(rows) > page_size else None
    return RecipientPage(found, await _total(connection, campaign, status), next_cursor)


async def _total(connection: Connection, campaign: Campaign, status: str | None) -> int:
    if (
        status is None and campaign.total_recipients is not None and campaign.type != RECURRING
    ):  # a series has the sum of its children
        return campaign.total_recipients
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM campaign_recipients WHERE campaign_id = $1 AND ($2::recipient_status IS NULL OR status = $2)",
            campaign.id,
            status,
        )
    )


def _after(cursor: str, number: int) -> UUID:
    try:
        last = UUID(hex=cursor)
    except ValueError as error:
        raise broken(FieldError("cursor", "take it from meta.nextCursor as it is")) from error
    if last.int >> 80 != number:
        raise broken(FieldError("cursor", "it is another campaign's"))
    return recipient_id(number, ordinal_of(last) + 1)


def _check(status: str | None, page: int, page_size: int) -> None:
    if status is not None and status not in STATUSES:
        raise broken(FieldError("status", f"one of {', '.join(STATUSES)}"))
    if not 1 <= page <= 10_000:
        raise broken(FieldError("page", "1 to 10,000; use the cursor to go further"))
    if not 1 <= page_size <= 1000:
        raise broken(FieldError("pageSize", "1 to 1,000"))
