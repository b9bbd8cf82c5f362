"""Segments, templates and suppressions, and the reading of other services' segments."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Identity, Index, String, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from streams.contracts.fields import Channel
from tables.models.declarative import FOUND_OUT, Base, BigInt


class Segment(Base):
    """A named set of contacts."""

    __tablename__ = "segments"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    tenant_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: A copy of another service's segment, changed only there.
    is_mirrored: Mapped[bool] = mapped_column(server_default=text("false"))


class SegmentMember(Base):
    """A contact is in a segment."""

    __tablename__ = "segment_members"
    __table_args__ = (Index("idx_segment_members_contact", "contact_id"),)

    segment_id: Mapped[UUID] = mapped_column(primary_key=True)
    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))


class MirroredMember(Base):
    """A member of a segment of another service that is being read: all of its pages together are
    the segment.

    Not UNLOGGED: a crash of PostgreSQL in the middle would empty it while the worker reads on, and
    the audience would be what came afterwards.
    """

    __tablename__ = "mirrored_members"

    #: Which reading of which segment.
    reading: Mapped[UUID] = mapped_column(primary_key=True)
    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Suppression(Base):
    """Nothing is sent on a channel to a contact, or to an address whoever has it."""

    __tablename__ = "suppressions"
    __table_args__ = (
        CheckConstraint(
            "num_nonnulls(contact_id, address, address_hash) = 1", name="suppressions_check"
        ),
        UniqueConstraint("id"),
        Index(
            "uq_suppressions_contact",
            *("tenant_id", "channel", "contact_id"),
            unique=True,
            postgresql_where=text("contact_id IS NOT NULL"),
        ),
        Index(
            "uq_suppressions_address",
            *("tenant_id", "channel", "address"),
            unique=True,
            postgresql_ops={"address": "text_pattern_ops"},
            postgresql_where=text("address IS NOT NULL"),
        ),
        Index(
            "uq_suppressions_address_hash",
            *("tenant_id", "channel", "address_hash"),
            unique=True,
            postgresql_where=text("address_hash IS NOT NULL"),
        ),
        # As idx_contacts_tenant, or a chunk of recipients could be looked up in all suppressions of
        # the tenant.
        Index("idx_suppressions_list", text("lower(tenant_id)"), text("seq DESC")),
    )

    #: The order in which they were made.
    seq: Mapped[BigInt] = mapped_column(Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    channel: Mapped[Channel]
    contact_id: Mapped[UUID | None]
    #: In the spelling in which addresses of its channel are compared.
    address: Mapped[str | None] = mapped_column(String(512))
    reason: Mapped[str] = mapped_column(String(100), server_default="manual")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    id: Mapped[UUID] = mapped_column(server_default=func.uuidv7())
    #: Of an address that its contact has no longer, `address_hash` of that spelling.
    address_hash: Mapped[bytes | None]
    #: The provider through which the person said no, and by which the person may say yes again.
    way: Mapped[str | None] = mapped_column(String(20), info={FOUND_OUT: True})
    #: When the person last said so; null where only the time of the row is known.
    said_at: Mapped[datetime | None] = mapped_column(info={FOUND_OUT: True})


class OptIn(Base):
    """A person has asked for messages again, lately."""

    __tablename__ = "opt_ins"
    __table_args__ = (Index("idx_opt_ins_at", "at"),)

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    channel: Mapped[Channel] = mapped_column(primary_key=True)
    #: `address_hash` of the spelling that is compared.
    address_hash: Mapped[bytes] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class Template(Base):
    """The text of messages on a channel, with placeholders."""

    __tablename__ = "templates"
    __table_args__ = (Index("idx_templates_tenant", "tenant_id", text("created_at DESC")),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    tenant_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    channel: Mapped[Channel]
    #: The parts that the channel has, such as subject, html and text.
    content: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Set on a template that only finished campaigns still show.
    deleted_at: Mapped[datetime | None]
    #: A copy of another service's template, changed only there.
    is_mirrored: Mapped[bool] = mapped_column(server_default=text("false"))
    #: `hints` and `warnings` of the API, of the content as it was at `hinted_at`.
    hints: Mapped[dict[str, Any] | None] = mapped_column(info={FOUND_OUT: True})
    #: Equal to `updated_at`, or the hints are those of an earlier content.
    hinted_at: Mapped[datetime | None] = mapped_column(info={FOUND_OUT: True})

    @property
    def current_hints(self) -> dict[str, Any] | None:
        """The hints of the content as it is; None when they have to be found."""
        return self.hints if self.hinted_at == self.updated_at else None
