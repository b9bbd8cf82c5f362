"""The ledger of recipients, and what belongs to reading and writing it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tables.models.declarative import Base, BigInt, enumeration


class RecipientStatus(StrEnum):
    """The highest state that a recipient reached, in this order: an engagement proves receipt."""

    PENDING = "pending"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"
    OPENED = "opened"
    CLICKED = "clicked"


class CampaignRecipient(Base):
    """A contact in the audience of a campaign, and what became of its message.

    Partitioned by blocks of 1,000 campaign numbers, made ahead and attached by the function
    `ensure_recipient_block`, so that retention is a dropped partition. No foreign key to
    contacts: enforcing it costs five times the insert, and a contact may be erased while its row
    stays. The one to campaigns is NOT ENFORCED, which only the migration can say.
    """

    __tablename__ = "campaign_recipients"
    __table_args__ = (
        Index("idx_campaign_recipients_campaign_status", "campaign_id", "status"),
        Index("idx_campaign_recipients_contact", "contact_id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    #: `recipient_id(campaign number, ordinal)`: UUIDv8 that sorts by both.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    campaign_id: Mapped[UUID] = mapped_column(
        ForeignKey("campaigns.id", name="fk_campaign_recipients_campaign")
    )
    contact_id: Mapped[UUID]
    variant_id: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[RecipientStatus] = mapped_column(
        enumeration("recipient_status", RecipientStatus), server_default="pending"
    )
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    #: The first time that a person opened it.
    opened_at: Mapped[datetime | None]
    #: The first time that a person followed a link.
    clicked_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    #: Of the earliest failure.
    failure_reason: Mapped[str | None] = mapped_column(Text)
    message_id: Mapped[UUID | None]
    #: The contact's version of the address that the message went to; null means 0. Before it is
    #: sent, that of the address when the audience was made.
    address_version: Mapped[int | None]
    unsubscribed_at: Mapped[datetime | None]
    complained_at: Mapped[datetime | None]
    #: When a provider took the message; the status does not show it.
    accepted_at: Mapped[datetime | None]

    @property
    def recipient_number(self) -> int:
        """The ordinal, as in messages."""
        return (self.id.int >> 64 & 0xFFF) << 12 | self.id.int >> 48 & 0xFFF


class Projection(Base):
    """Where a projection has read to; moved in the transaction of its rows."""

    __tablename__ = "projections"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    topic: Mapped[str] = mapped_column(String(200), primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True)
    #: The offset of the next record.
    position: Mapped[BigInt]


class TestSend(Base):
    """How many test messages a tenant asked for, and when; the limit per hour counts them."""

    __tablename__ = "test_sends"
    __table_args__ = (
        CheckConstraint("messages > 0", name="test_sends_messages_check"),
        Index("idx_test_sends", "tenant_id", "sent_at"),
    )
    # The table has no primary key: its rows are only added, summed and dropped.
    __mapper_args__ = {"primary_key": ["tenant_id", "sent_at"]}  # noqa: RUF012

    tenant_id: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    sent_at: Mapped[datetime]
    messages: Mapped[int]
