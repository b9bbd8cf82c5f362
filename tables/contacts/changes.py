"""How one contact changes, and how it is erased together with everything that identifies it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from streams.errors import CampaignError, ConflictError, FieldError, NotFoundError, broken
from tables.contacts.fields import SPELLINGS, attributes_json
from tables.contacts.merge import lock_contacts
from tables.database.connection import Session
from tables.database.failures import UNIQUE_VIOLATION, sqlstate
from tables.models import Contact, SegmentMember, Suppression
from tables.tenants.audit import ENGINE, Action, Author, note

# The reason that a provider gives for a failure may quote the address: a push token, an email
# address, a phone number. Names of people do not occur in it.
_SCRUB = r"""
UPDATE campaign_recipients
   SET failure_reason = regexp_replace(
         regexp_replace(
           replace(failure_reason, coalesce(%(push_token)s, '(erased)'), '(erased)'),
           '[^\s<>]+@[^\s<>]+', '(erased)', 'g'),
         '\+?[0-9][0-9 ()./-]{5,}[0-9]', '(erased)', 'g')
 WHERE contact_id = %(contact)s
   AND tenant_id = %(tenant)s
   AND failure_reason IS NOT NULL
   AND failure_reason NOT LIKE 'skipped:%%'"""


async def lock_contact(session: Session, tenant: str, contact_id: UUID) -> Contact:
    """The contact, which no other transaction changes until this one ends. Raises NotFoundError."""
    is_it = (Contact.tenant_id == tenant) & (Contact.id == contact_id)
    found = await session.first(select(Contact).where(is_it).with_for_update(key_share=True))
    if found is None:
        raise _unknown(contact_id)
    return found


async def lock_to_erase(session: Session, tenant: str, contact_id: UUID) -> Contact:
    """`lock_contact` in the order in which `erase_contact` locks: imports first."""
    await lock_contacts(session, tenant)
    return await lock_contact(session, tenant, contact_id)


async def change_contact(
    session: Session, tenant: str, contact_id: UUID, changes: Mapping[str, Any]
) -> Contact:
    """Set columns of a contact; None empties one, attributes are merged (RFC 7396: null removes
    one). Needs a transaction.

    Raises NotFoundError, CampaignError for a value that breaks a rule, ConflictError for an
    externalId that another contact has.
    """
    is_it = (Contact.tenant_id == tenant) & (Contact.id == contact_id)
    before = await session.first(select(Contact).where(is_it).with_for_update(key_share=True))
    columns = {name: _spelled(name, it) for name, it in changes.items() if name != "attributes"}
    if (given := changes.get("attributes")) is not None:
        columns["attributes"] = _merged(before.attributes if before else {}, given)
    statement = update(Contact).where(is_it).values(updated_at=func.now(), **columns)
    try:
        async with session.begin_nested():
            after = await session.first(statement.returning(Contact))
    except IntegrityError as error:
        if sqlstate(error) != UNIQUE_VIOLATION:
            raise
        rule = "belongs to another contact"
        raise ConflictError(
            f"externalId: {rule}", errors=(FieldError("externalId", rule),)
        ) from error
    if after is None:
        raise _unknown(contact_id)
    return after


async def erase_contact(
    session: Session, tenant: str, contact_id: UUID, by: Author = ENGINE
) -> None:
    """Erase the contact, its memberships and its own suppressions; its rows in ledgers keep what
    happened, but not to whom. Needs a transaction.

    A suppressed *address* stays suppressed, for the next import may bring it back. Raises
    NotFoundError.
    """
    # an import that has found the contact must not make it a member afterwards
    await lock_contacts(session, tenant)
    is_it = (Contact.tenant_id == tenant) & (Contact.id == contact_id)
    erased = await session.first(delete(Contact).where(is_it).returning(Contact))
    if erased is None:
        raise _unknown(contact_id)
    for table in (SegmentMember, Suppression):
        await session.execute(
            delete(table).where(table.contact_id == contact_id, table.tenant_id == tenant)
        )
    await session.run(_SCRUB, contact=contact_id, tenant=tenant, push_token=erased.push_token)
    await note(session, tenant, by, Action.CONTACT_ERASED, subject=f"contact {contact_id}")


def _merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in {**before, **given}.items() if value is not None}
    try:
        attributes: dict[str, Any] = msgspec.json.decode(attributes_json(merged))
    except ValueError as error:
        raise _refused(error) from error
    return attributes


def _spelled(column: str, given: str | None) -> object:
    if not given:
        return None
    try:
        return SPELLINGS[column][1](given) or None
    except ValueError as error:
        raise _refused(error) from error


def _refused(error: ValueError) -> CampaignError:
    field, _, rule = str(error).partition(": ")
    return broken(FieldError(field, rule))


def _unknown(contact_id: UUID) -> NotFoundError:
    return NotFoundError(f"There is no contact {contact_id}.")
