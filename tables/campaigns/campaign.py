"""Campaign rows: how they are read, locked, changed and listed, and how the API spells them.

A `Campaign` is a value: nothing is assigned to it. Every change of a row goes through
`change_campaign` or, where the version stays, `amend_campaign`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, get_args
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import ColumnElement, Select, bindparam, func, inspect, select, update
from sqlalchemy.dialects.postgresql import insert

from streams.contracts.envelope import rfc3339
from streams.contracts.fields import ACTIVE, CampaignType, Channel, Status
from streams.errors import CampaignError, FieldError, NotFoundError
from tables.database.arrays import among
from tables.database.connection import Session
from tables.database.search import containing, has_pattern
from tables.database.statements import Reading
from tables.models import Campaign

#: Campaigns of a tenant that may be paused before further ones take the places of running ones. A
#: pause is never refused; each event of a tenant rewrites the state of all that it has paused.
MOST_PAUSED = 50
INTERNAL = frozenset(
    {
        "number",
        "keyEpoch",
        "correlationId",
        "waitsBelow",
        "nextOccurrenceAt",
        "occurrenceAt",
        "isDirectoryDown",
        "isBuiltIn",
        "isPausedBySeries",
        "isPausedBySuspension",
    }
)


def presented(campaign: Campaign) -> dict[str, Any]:
    """The campaign as the API spells it: camelCase, RFC 3339 with milliseconds, every field of the
    specification, nulls included.
    """
    return {name: _plain(getattr(campaign, column)) for name, column in _PRESENTED.items()}


_PRESENTED = {
    to_camel(column.key): column.key
    for column in inspect(Campaign).column_attrs
    if to_camel(column.key) not in INTERNAL
}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, StrEnum):
        return value.value
    return str(value) if isinstance(value, UUID) else value


# Made once: every request for a campaign carries one of them out.
_EXISTING = select(Campaign).where(
    Campaign.tenant_id == bindparam("tenant"),
    Campaign.id == bindparam("campaign_id"),
    Campaign.deleted_at.is_(None),
)
_LOCKED = _EXISTING.with_for_update(key_share=True)


async def stopped(session: Session, numbers: Collection[int]) -> dict[int, Status]:
    """Those of these campaigns, of any tenants, that are paused or cancelled, by number."""
    found = select(Campaign.number, Campaign.status).where(
        among(Campaign.number, numbers),
        Campaign.status.in_((Status.PAUSED, Status.CANCELLED)),
    )
    return dict((await session.execute(found)).all())


async def get_campaign(session: Session | Reading, tenant: str, campaign_id: UUID) -> Campaign:
    """Raises NotFoundError when it does not exist, is deleted, or belongs to another tenant."""
    return await _found(session, _EXISTING, tenant, campaign_id)


async def get_campaigns(
    session: Session, tenant: str, campaign_ids: Collection[UUID]
) -> list[Campaign]:
    """Those of these campaigns that `get_campaign` would find, in any order."""
    return await session.every(
        select(Campaign).where(
            Campaign.tenant_id == tenant,
            Campaign.id.in_(campaign_ids),
            Campaign.deleted_at.is_(None),
        )
    )


async def numbered_campaign(session: Session, tenant: str, number: int) -> Campaign | None:
    """The campaign of this number, a deleted one, too: its messages may still go out."""
    return await session.first(
        select(Campaign).where(Campaign.tenant_id == tenant, Campaign.number == number)
    )


async def lock_campaign(session: Session, tenant: str, campaign_id: UUID) -> Campaign:
    """`get_campaign`, and no other transaction changes the row until this one ends: that is what
    orders the outbox per campaign.
    """
    return await _found(session, _LOCKED, tenant, campaign_id)


async def _found(
    session: Session | Reading, statement: Select[Campaign], tenant: str, campaign_id: UUID
) -> Campaign:
    parameters = {"tenant": tenant, "campaign_id": campaign_id}
    campaign = await session.first(statement, parameters)
    if campaign is None:
        raise NotFoundError(f"There is no campaign {campaign_id}.")
    return campaign


async def insert_campaign(session: Session, **columns: Any) -> Campaign:
    """A new row in its first version."""
    made = await session.first(insert(Campaign).values(**columns).returning(Campaign))
    assert made is not None
    return made


async def insert_child(session: Session, **columns: Any) -> Campaign | None:
    """A new child of a series; None when this occurrence (parent_id, occurrence_at) has one
    already.
    """
    return await session.first(
        insert(Campaign)
        .values(**columns)
        .on_conflict_do_nothing(
            index_elements=[Campaign.parent_id, Campaign.occurrence_at],
            index_where=Campaign.occurrence_at.is_not(None),
        )
        .returning(Campaign)
    )


async def change_campaign(
    session: Session, campaign: Campaign, at: datetime, **columns: Any
) -> Campaign:
    """Set columns of a row that the caller has locked; the campaign as its next version."""
    return await amend_campaign(
        session, campaign, version=Campaign.version + 1, updated_at=at, **columns
    )


async def amend_campaign(session: Session, campaign: Campaign, **columns: Any) -> Campaign:
    """`change_campaign` for columns that no caller of the API sees or edits: the version stays, so
    that a person's edit is not refused by If-Match.
    """
    changed = await session.first(
        update(Campaign).where(Campaign.id == campaign.id).values(**columns).returning(Campaign)
    )
    assert changed is not None
    return changed


async def list_campaigns(
    session: Session | Reading,
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
    given = {
        "status": status,
        "channel": channel,
        "search": containing(search) if search else None,
        "parent_id": parent_id,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    reading, parameters = Reading(await session.driver()), {"tenant": tenant, **wanted}
    return await reading.page(_newest(*wanted), parameters, page_size, (page - 1) * page_size)


@cache
def _newest(*filters: str) -> Select[Campaign]:
    """Made once for each set of filters: a dashboard asks for the first page again and again."""
    conditions = {
        "status": Campaign.status == bindparam("status"),
        "channel": Campaign.channel == bindparam("channel"),
        "search": has_pattern(Campaign.name, bindparam("search")),
        "parent_id": Campaign.parent_id == bindparam("parent_id"),
    }
    return (
        select(Campaign)
        .where(
            Campaign.tenant_id == bindparam("tenant"),
            Campaign.deleted_at.is_(None),
            *(conditions[name] for name in filters),
        )
        .order_by(Campaign.created_at.desc(), Campaign.id.desc())
    )


def rooms_taken(campaign: type[Campaign], resumed: int = 0) -> ColumnElement[int]:
    """How many of the places for running campaigns are taken: by those that run, and by each that
    is paused beyond MOST_PAUSED. `resumed` of the paused ones are about to run.

    A series sends nothing itself: its children count.
    """
    running = func.count().filter(campaign.status == Status.RUNNING)
    paused = func.count().filter(campaign.status == Status.PAUSED)
    return running + func.greatest(paused - resumed - MOST_PAUSED, 0)


async def count_running(session: Session, tenant: str, resumed: int = 0) -> int:
    """`rooms_taken` of the tenant; exact while the caller holds its row (`lock_tenant`)."""
    statement = select(rooms_taken(Campaign, resumed)).where(
        Campaign.tenant_id == tenant,
        Campaign.status.in_(ACTIVE),
        Campaign.type != CampaignType.RECURRING,
    )
    return await session.scalar(statement) or 0


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
