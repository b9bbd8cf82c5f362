"""Contacts for tests."""

from __future__ import annotations

from uuid import UUID

from tables.contacts.fields import contact_row
from tables.contacts.store import put_contact
from tables.database.connection import Session


async def contact(session: Session, tenant: str, **fields: str) -> UUID:
    """The id of a contact with these fields."""
    async with session.begin_nested():
        return (await put_contact(session, tenant, contact_row(1, fields, {})))[0].id
