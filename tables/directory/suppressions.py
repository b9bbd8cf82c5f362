"""Suppressions: the contacts and addresses that get nothing more on a channel."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    any_,
    column,
    delete,
    false,
    func,
    inspect,
    or_,
    select,
    table,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import aliased

from streams.errors import ConflictError, FieldError, NotFoundError, broken
from tables.channels import CHANNELS
from tables.contacts import store
from tables.database.arrays import among
from tables.database.connection import Session
from tables.database.search import beginning
from tables.models import Contact, Suppression
from tables.numbers import beginnings
from tables.tenants.audit import Action, Author, note

_IN_SIGHT = aliased(
    Suppression,
    table(
        "suppressions_in_sight",
        *(column(one.name, one.type) for one in inspect(Suppression).columns),
    ),
    adapt_on_names=True,
)


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


async def get_suppression(session: Session, tenant: str, suppression_id: UUID) -> Suppression:
    """Raises NotFoundError."""
    return await _found(session, _one(tenant, suppression_id), suppression_id)


async def lock_suppression(session: Session, tenant: str, suppression_id: UUID) -> Suppression:
    """`get_suppression`, and no other transaction changes it until this one ends."""
    return await _found(session, _one(tenant, suppression_id).with_for_update(), suppression_id)


def _one(tenant: str, suppression_id: UUID) -> Select[Suppression]:
    return select(Suppression).where(
        Suppression.tenant_id == tenant, Suppression.id == suppression_id
    )


async def _found(
    session: Session, statement: Select[Suppression], suppression_id: UUID
) -> Suppression:
    found = await session.first(statement)
    if found is None:
        raise NotFoundError(f"There is no suppression {suppression_id}.")
    return found


async def lift_suppression(
    session: Session, tenant: str, suppression_id: UUID, *, by: Author, reason: str
) -> None:
    """Let a contact or an address get messages again, and note in the audit log who lets it in and
    why. Where one event suppressed a contact and the address that it has, both suppressions go; so
    does the one of the address's hash. Raises NotFoundError.
    """
    one = await get_suppression(session, tenant, suppression_id)
    address_hash = one.address_hash
    if one.address is not None:
        address_hash = await session.scalar(select(func.address_hash(one.address)))
    # rows of one event are of one transaction, so they have the same time
    is_of_its_event = (
        (Suppression.channel == one.channel)
        & (Suppression.reason == one.reason)
        & (Suppression.created_at == one.created_at)
    )
    is_its_hash = (Suppression.channel == one.channel) & (Suppression.address_hash == address_hash)
    is_lifted = or_(Suppression.id == one.id, is_of_its_event & _is_counterpart(one), is_its_hash)
    await session.execute(delete(Suppression).where(Suppression.tenant_id == tenant, is_lifted))
    subject = (
        f"contact {one.contact_id}" if address_hash is None else f"address {address_hash.hex()}"
    )
    subject = f"{one.channel} {subject}"
    await note(session, tenant, by, Action.SUPPRESSION_LIFTED, subject=subject, reason=reason)


def _is_counterpart(one: Suppression) -> ColumnElement[bool]:
    """The condition that a row suppresses the contacts that have the address of `one`, or the
    address of its contact; never for an address of which only the hash is kept.
    """
    if one.address_hash is not None:
        return false()
    column = CHANNELS[one.channel].column
    address, mine = getattr(Contact, column), Contact.tenant_id == one.tenant_id
    if one.address is not None:
        spellings = func.number_spellings(one.address)
        has_it = address == any_(spellings) if column == "phone" else address == one.address
        return Suppression.contact_id.in_(select(Contact.id).where(mine, has_it))
    compared = func.number_key(address) if column == "phone" else address
    of_contact = select(compared).where(mine, Contact.id == one.contact_id).scalar_subquery()
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
    `address` the whole of it in any spelling; only the latter finds an address of which the hash is
    kept.
    """
    seen = _IN_SIGHT
    # lower: of idx_suppressions_list, the names of tenants are lower case
    statement = (
        select(seen)
        .where(seen.tenant_id == tenant, func.lower(seen.tenant_id) == tenant)
        .order_by(seen.seq.desc())
    )
    if channel is not None:
        statement = statement.where(seen.channel == channel)
    if search:
        # tokens of devices keep their case, and a number may be searched in another spelling
        begins = {search, search.lower(), *beginnings(search)}
        found = [seen.address.like(beginning(spelling)) for spelling in sorted(begins)]
        statement = statement.where(or_(*found))
    if address is not None:
        spellings = _spellings(address)
        hashes = (func.address_hash(spelling) for spelling in spellings)
        is_it = among(seen.address, spellings)
        statement = statement.where(or_(is_it, seen.address_hash.in_(hashes)))
    if contact_id is not None:
        statement = statement.where(seen.contact_id == contact_id)
    return await session.page(statement, limit, offset)


def _spellings(address: str) -> list[str]:
    """The address as it is compared on each channel that has such addresses."""
    found = set()
    for rules in CHANNELS.values():
        with contextlib.suppress(ValueError):
            found.add(rules.compared(address))
    return sorted(found)


def _of(tenant: str, channel: str, target: Mapping[str, object]) -> ColumnElement[bool]:
    """The condition that a row suppresses the target."""
    condition = (Suppression.tenant_id == tenant) & (Suppression.channel == channel)
    for name, value in target.items():
        condition &= getattr(Suppression, name) == value
    return condition


async def _target(
    session: Session,
    tenant: str,
    channel: str,
    address: str | None,
    contact_id: UUID | None,
    reason: str,
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
            return {"address": rules.compared(address)}
        except ValueError as error:
            raise broken(FieldError("address", str(error))) from error
    assert contact_id is not None
    if await store.unknown(session, tenant, [contact_id]):
        raise broken(FieldError("contactId", "there is no such contact"))
    return {"contact_id": contact_id}
