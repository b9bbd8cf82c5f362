"""The ledger of recipients: its derived row ids, the contact fields that templates can ask for, its
pages for the API.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from sqlalchemy import func, select

from streams.contracts.fields import CampaignType
from streams.errors import FieldError, broken
from streams.records.message_id import MAX_ORDINAL
from tables.database.connection import Session
from tables.models import Campaign
from tables.models.audience import CampaignRecipient, RecipientStatus

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

_KNOWN = """
SELECT r.id
  FROM unnest(%(ids)s::uuid[]) AS w (id)
  JOIN campaign_recipients r ON r.id = w.id"""


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


async def unknown_rows(session: Session, ids: Collection[UUID]) -> set[UUID]:
    """Those of the row ids that the ledger does not have. One index look-up each."""
    known = await session.values(_KNOWN, ids=list(ids))
    return set(ids) - set(known)


@dataclass(frozen=True, slots=True)
class RecipientPage:
    """Some recipients in ordinal order, how many there are in all, and the cursor of those that
    follow, None at the end.
    """

    recipients: list[CampaignRecipient]
    total: int
    next_cursor: str | None


async def list_recipients(
    session: Session,
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
    query = (
        select(CampaignRecipient)
        .where(
            CampaignRecipient.tenant_id == campaign.tenant_id,
            CampaignRecipient.id >= first,
            CampaignRecipient.id < end,
        )
        .order_by(CampaignRecipient.id)
        .limit(page_size + 1)
        .offset(0 if cursor else (page - 1) * page_size)
    )
    if status is not None:
        query = query.where(CampaignRecipient.status == status)
    rows = await session.every(query)
    found = rows[:page_size]
    next_cursor = found[-1].id.hex if len(rows) > page_size else None
    return RecipientPage(found, await _total(session, campaign, status), next_cursor)


async def _total(session: Session, campaign: Campaign, status: str | None) -> int:
    # a series has the sum of its children
    is_series = campaign.type == CampaignType.RECURRING
    if status is None and campaign.total_recipients is not None and not is_series:
        return campaign.total_recipients
    query = select(func.count()).where(CampaignRecipient.campaign_id == campaign.id)
    if status is not None:
        query = query.where(CampaignRecipient.status == status)
    return await session.scalar(query) or 0


def _after(cursor: str, number: int) -> UUID:
    try:
        last = UUID(hex=cursor)
    except ValueError as error:
        raise broken(FieldError("cursor", "take it from meta.nextCursor as it is")) from error
    if last.int >> 80 != number:
        raise broken(FieldError("cursor", "it is another campaign's"))
    return recipient_id(number, ordinal_of(last) + 1)


def _check(status: str | None, page: int, page_size: int) -> None:
    if status is not None and status not in list(RecipientStatus):
        raise broken(FieldError("status", f"one of {', '.join(RecipientStatus)}"))
    if not 1 <= page <= 10_000:
        raise broken(FieldError("page", "1 to 10,000; use the cursor to go further"))
    if not 1 <= page_size <= 1000:
        raise broken(FieldError("pageSize", "1 to 1,000"))
