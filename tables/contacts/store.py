"""Contacts one by one: written, read, and told apart from unknown ids."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from streams.errors import FieldError, NotFoundError, broken
from tables.contacts.fields import ContactRow
from tables.contacts.merge import write_rows
from tables.database.arrays import among
from tables.database.connection import Session
from tables.models import Contact

_TARGET = "SELECT contact_id FROM import_targets"


async def put_contact(
    session: Session, tenant: str, row: ContactRow, segment_id: UUID | None = None
) -> tuple[Contact, bool]:
    """Insert or update one contact, identified as in an import: the contact, and whether it is new.
    Needs a transaction.

    Raises CampaignError when the row is refused.
    """
    written = await write_rows(session, tenant, [row], segment_id)
    if written.refused:
        field, _, rule = written.refused[0][1].partition(": ")
        raise broken(FieldError(field, rule))
    contact = await get_contact(session, tenant, await session.value(_TARGET))
    return contact, written.imported == 1


async def get_contact(session: Session, tenant: str, contact_id: UUID) -> Contact:
    """Raises NotFoundError."""
    statement = select(Contact).where(Contact.tenant_id == tenant, Contact.id == contact_id)
    found = await session.first(statement)
    if found is None:
        raise NotFoundError(f"There is no contact {contact_id}.")
    return found


async def unknown(session: Session, tenant: str, contact_ids: Collection[UUID]) -> list[UUID]:
    """Those of the ids that the tenant has no contact of, in their order."""
    mine = select(Contact.id).where(Contact.tenant_id == tenant, among(Contact.id, contact_ids))
    known = set(await session.scalars(mine))
    return [contact_id for contact_id in contact_ids if contact_id not in known]
