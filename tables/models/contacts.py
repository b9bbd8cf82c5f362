"""Contacts: the people of a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, func, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from tables.models.declarative import Base

# text_pattern_ops: the same index finds an address and, in every collation, what begins like it.
# pg_c_utf8: lower and upper case of every letter, also in a database with the locale C.


def _index(name: str, column: str, *, unique: bool = False) -> Index:
    return Index(
        name,
        "tenant_id",
        column,
        unique=unique,
        postgresql_ops={column: "text_pattern_ops"},
        postgresql_where=text(f"{column} IS NOT NULL"),
    )


def _index_lower(name: str, column: str) -> Index:
    lower = literal_column(f"lower({column} COLLATE pg_c_utf8)", String).label("lowered")
    return Index(
        name,
        "tenant_id",
        lower,
        postgresql_ops={"lowered": "text_pattern_ops"},
        postgresql_where=text(f"{column} IS NOT NULL"),
    )


class Contact(Base):
    """A person, by id, external id or address."""

    __tablename__ = "contacts"
    __table_args__ = (
        _index("uq_contacts_external_id", "external_id", unique=True),
        _index("idx_contacts_email", "email"),
        _index("idx_contacts_phone", "phone"),
        Index(
            "idx_contacts_push_token",
            "tenant_id",
            "push_token",
            postgresql_where=text("push_token IS NOT NULL"),
        ),
        # The pages of a tenant's contacts. The index is on an expression, so that no other query
        # can use it: with (tenant_id, id) an import into a table without statistics read all of
        # the tenant for every row, 130 s for 100,000.
        Index("idx_contacts_tenant", text("lower(tenant_id)"), "id"),
        _index_lower("idx_contacts_first_name", "first_name"),
        _index_lower("idx_contacts_last_name", "last_name"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    #: The contact's id in the tenant's own systems.
    external_id: Mapped[str | None] = mapped_column(String(255))
    #: Case-folded.
    email: Mapped[str | None] = mapped_column(String(320))
    #: E.164, in the spelling that its country uses today; older rows also in others.
    phone: Mapped[str | None] = mapped_column(String(20))
    push_token: Mapped[str | None] = mapped_column(String(512))
    first_name: Mapped[str | None] = mapped_column(String(255))
    last_name: Mapped[str | None] = mapped_column(String(255))
    #: A name of the IANA time zone database.
    time_zone: Mapped[str | None] = mapped_column(String(50))
    #: A BCP 47 language tag.
    locale: Mapped[str | None] = mapped_column(String(35))
    #: Everything else that the tenant knows, for templates.
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: How often each address has changed; a trigger counts.
    email_version: Mapped[int] = mapped_column(server_default=text("0"))
    phone_version: Mapped[int] = mapped_column(server_default=text("0"))
    push_token_version: Mapped[int] = mapped_column(server_default=text("0"))


class FormerAddress(Base):
    """An address that a contact had before it was changed or erased, as a keyed hash; a trigger
    writes it.
    """

    __tablename__ = "former_addresses"
    __table_args__ = (Index("idx_former_addresses_tenant", "tenant_id"),)

    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    #: The column of contacts.
    field: Mapped[str] = mapped_column(String(10), primary_key=True)
    #: The contact's version of this address as long as it had it.
    version: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    #: `address_hash` of the spelling that is compared; null when a session without the key changed
    #: the address.
    hash: Mapped[bytes | None]
    until: Mapped[datetime] = mapped_column(server_default=func.now())


class WhatsappUser(Base):
    """A contact has the id by which WhatsApp names a user who may hide the number."""

    __tablename__ = "whatsapp_users"
    __table_args__ = (Index("idx_whatsapp_users_contact", "contact_id"),)

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(140), primary_key=True)
    contact_id: Mapped[UUID] = mapped_column(
        ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True
    )
