"""Suppressions: the contacts and addresses that get nothing more on a channel."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.dialects import postgresql

from streams.errors import ConflictError, FieldError, NotFoundError, broken
from tables.channels import CHANNELS
from tables.contacts import store
from tables.database.arrays import among
from tables.database.connection import Session
from tables.database.search import beginning
from tables.models import Contact, Suppression

_OF_PEOPLE = ["unsubscribed", "complained"]
_ADDRESS = " ".join(f"WHEN '{name}' THEN p.{channel.column}" for name, channel in CHANNELS.items())
# In one order, so that two of these wait for each other instead of meeting in a deadlock.
_SUPPRESS_RECIPIENTS = f"""
INSERT INTO suppressions (tenant_id, channel, contact_id, address, reason)
SELECT r.tenant_id, c.channel, t.contact_id, t.address, w.reason
  FROM unnest(%(recipients)s::uuid[], %(reasons)s::text[]) AS w (id, reason)
  JOIN campaign_recipients r ON r.id = w.id
  JOIN campaigns c ON c.id = r.campaign_id
  LEFT JOIN contacts p ON p.id = r.contact_id AND p.tenant_id = r.tenant_id
 CROSS JOIN LATERAL (SELECT CASE c.channel {_ADDRESS} END) AS a (address)
 CROSS JOIN LATERAL (VALUES (NULL, a.address), (r.contact_id, NULL)) AS t (contact_id, address)
 WHERE t.address IS NOT NULL
    OR (t.contact_id IS NOT NULL AND w.reason = ANY (%(of_people)s))
 ORDER BY r.tenant_id, c.channel, t.address, t.contact_id
    ON CONFLICT DO NOTHING"""


async def put_suppression(
    session: Session,
    tenant: str,
    channel: str,
    *,
    address: str | None = None,
    contact_id: UUID | None = None,
    reason: str = "manual",
) -> tuple[Suppression, bool]:
    """Suppress an address or a contact on a channel, from the next chunk of recipients on: the
    suppression, and whether it is new. Suppressing again keeps the first reason.

    Raises CampaignError for a wrong target or reason.
    """
    target = await _target(session, tenant, channel, address, contact_id, reason)
    new = postgresql.insert(Suppression).values(
        tenant_id=tenant, channel=channel, reason=reason, **target
    )
    made = await session.first(new.on_conflict_do_nothing().returning(Suppression))
    if made is not None:
        return made, True
    found = await session.first(select(Suppression).where(_of(tenant, channel, target)))
    if found is None:
        raise ConflictError("Somebody removed this suppression at this very moment; try again.")
    return found, False


async def suppress_recipients(session: Session, reasons: Mapping[UUID, str]) -> None:
    """Suppress the contacts behind rows of `campaign_recipients` on their campaign's channel, each
    for its reason. Those suppressed already keep their first reason.

    Suppressed is the address that they have now, which holds for every contact that shares it. For
    the reasons of people (unsubscribed, complained) the contact is suppressed, too, which holds for
    every address that it will have.
    """
    await session.run(
        _SUPPRESS_RECIPIENTS,
        recipients=list(reasons),
        reasons=list(reasons.values()),
        of_people=_OF_PEOPLE,
    )


async def unsuppress(
    session: Session,
    tenant: str,
    channel: str,
    *,
    address: str | None = None,
    contact_id: UUID | None = None,
) -> None:
    """`remove_suppression` for an address or a contact. Raises NotFoundError when it was not
    suppressed, and CampaignError as `put_suppression`.
    """
    target = await _target(session, tenant, channel, address, contact_id)
    found = await session.scalar(select(Suppression.id).where(_of(tenant, channel, target)))
    if found is None:
        raise NotFoundError("This is not suppressed.")
    await remove_suppression(session, tenant, found)


async def get_suppression(session: Session, tenant: str, suppression_id: UUID) -> Suppression:
    """Raises NotFoundError."""
    found = await session.first(
        select(Suppression).where(Suppression.tenant_id == tenant, Suppression.id == suppression_id)
    )
    if found is None:
        raise NotFoundError(f"There is no suppression {suppression_id}.")
    return found


async def remove_suppression(session: Session, tenant: str, suppression_id: UUID) -> None:
    """Let a contact or an address get messages again. Where one event suppressed a contact and the
    address that it has, both suppressions go. Raises NotFoundError.
    """
    one = await get_suppression(session, tenant, suppression_id)
    # rows of one event are of one transaction, so they have the same time
    is_of_its_event = (
        (Suppression.channel == one.channel)
        & (Suppression.reason == one.reason)
        & (Suppression.created_at == one.created_at)
    )
    is_removed = or_(Suppression.id == one.id, is_of_its_event & _is_counterpart(one))
    await session.execute(delete(Suppression).where(Suppression.tenant_id == tenant, is_removed))


def _is_counterpart(one: Suppression) -> ColumnElement[bool]:
    """The condition that a row suppresses the contacts that have the address of `one`, or the
    address of its contact.
    """
    address = getattr(Contact, CHANNELS[one.channel].column)
    mine = Contact.tenant_id == one.tenant_id
    if one.address is not None:
        return Suppression.contact_id.in_(select(Contact.id).where(mine, address == one.address))
    of_contact = select(address).where(mine, Contact.id == one.contact_id).scalar_subquery()
    return Suppression.address == of_contact


async def list_suppressions(
    session: Session,
    tenant: str,
    *,
    channel: str | None = None,
    search: str | None = None,
    address: str | None = None,
    contact_id: UUID | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Suppression], int]:
    """A page, newest first, and how many there are. `search` is the beginning of an address,
    `address` the whole of it in any spelling.
    """
    # lower: of idx_suppressions_list, the names of tenants are lower case
    statement = (
        select(Suppression)
        .where(Suppression.tenant_id == tenant, func.lower(Suppression.tenant_id) == tenant)
        .order_by(Suppression.seq.desc())
    )
    if channel is not None:
        statement = statement.where(Suppression.channel == channel)
    if search:
        spellings = (search, search.lower())  # tokens of devices keep their case
        begins = [Suppression.address.like(beginning(spelling)) for spelling in spellings]
        statement = statement.where(or_(*begins))
    if address is not None:
        statement = statement.where(among(Suppression.address, _spellings(address)))
    if contact_id is not None:
        statement = statement.where(Suppression.contact_id == contact_id)
    return await session.page(statement, limit, offset)


def _spellings(address: str) -> list[str]:
    """The address as it is spelled on each channel that has such addresses."""
    found = set()
    for rules in CHANNELS.values():
        with contextlib.suppress(ValueError):
            found.add(rules.normalise(address))
    return sorted(found)


def _of(tenant: str, channel: str, target: Mapping[str, object]) -> ColumnElement[bool]:
    """The condition that a row suppresses the target."""
    condition = (Suppression.tenant_id == tenant) & (Suppression.channel == channel)
    for column, value in target.items():
        condition &= getattr(Suppression, column) == value
    return condition


async def _target(
    session: Session,
    tenant: str,
    channel: str,
    address: str | None,
    contact_id: UUID | None,
    reason: str = "",
) -> dict[str, object]:
    """The address or the contact, as the value of its column. Raises CampaignError."""
    if (rules := CHANNELS.get(channel)) is None:
        raise broken(FieldError("channel", f"one of {', '.join(CHANNELS)}"))
    if (address is None) == (contact_id is None):
        raise broken(FieldError("address", "exactly one of address and contactId"))
    if len(reason) > 100 or "\0" in reason:
        raise broken(FieldError("reason", "at most 100 characters, without NUL"))
    if address is not None:
        try:
            return {"address": rules.normalise(address)}
        except ValueError as error:
            raise broken(FieldError("address", str(error))) from error
    assert contact_id is not None
    if await store.unknown(session, tenant, [contact_id]):
        raise broken(FieldError("contactId", "there is no such contact"))
    return {"contact_id": contact_id}
