"""Users of WhatsApp who hide their number: which contacts have their ids, as far as a message or a
preference that named both has told.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from tables.channels import CHANNELS
from tables.database.connection import Session
from tables.models import WhatsappUser

# The newest of those who share a number; more are no person's.
_LINK = f"""
INSERT INTO whatsapp_users (tenant_id, user_id, contact_id)
SELECT p.tenant_id, %(user)s, p.id
  FROM contacts p
 WHERE p.tenant_id = %(tenant)s
   AND {CHANNELS["whatsapp"].found_by("p", "%(number)s::text")}
 ORDER BY p.id DESC
 LIMIT 10
    ON CONFLICT DO NOTHING"""


async def link(session: Session, tenant: str, user_id: str, number: str) -> None:
    """Remember that the contacts with this number have the id."""
    await session.run(_LINK, tenant=tenant, user=user_id, number=number)


async def contacts_of(session: Session, tenant: str, user_id: str) -> list[UUID]:
    """The contacts that are known to have the id."""
    one = WhatsappUser
    found = select(one.contact_id).where(one.tenant_id == tenant, one.user_id == user_id)
    return list(await session.scalars(found.order_by(one.contact_id)))
