"""The live stats as rows, refreshed by a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from tables.models.declarative import Base, BigInt

_NONE = text("0")


class CampaignStats(Base):
    """The counts of a campaign, or of one variant where `variant_id` is set."""

    __tablename__ = "campaign_stats"
    __table_args__ = (
        UniqueConstraint("campaign_id", "variant_id", postgresql_nulls_not_distinct=True),
        Index(
            "idx_campaign_stats_unsealed",
            "updated_at",
            postgresql_where=text("variant_id IS NULL AND sealed_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id"))
    variant_id: Mapped[str | None] = mapped_column(String(50))
    total_recipients: Mapped[int] = mapped_column(server_default=_NONE)
    sent_count: Mapped[int] = mapped_column(server_default=_NONE)
    delivered_count: Mapped[int] = mapped_column(server_default=_NONE)
    #: People who opened, each once.
    opened_count: Mapped[int] = mapped_column(server_default=_NONE)
    #: People who followed a link, each once.
    clicked_count: Mapped[int] = mapped_column(server_default=_NONE)
    bounced_count: Mapped[int] = mapped_column(server_default=_NONE)
    unsubscribed_count: Mapped[int] = mapped_column(server_default=_NONE)
    complaint_count: Mapped[int] = mapped_column(server_default=_NONE)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    failed_count: Mapped[int] = mapped_column(server_default=_NONE)
    replied_count: Mapped[int] = mapped_column(server_default=_NONE)
    #: Recipients of whom only machines opened.
    machine_opened_count: Mapped[int] = mapped_column(server_default=_NONE)
    #: Recipients of whom only machines followed a link.
    machine_clicked_count: Mapped[int] = mapped_column(server_default=_NONE)
    skipped_count: Mapped[int] = mapped_column(server_default=_NONE)
    #: Messages that a provider has said it took.
    accepted_count: Mapped[int] = mapped_column(server_default=_NONE)
    #: Skipped recipients by reason.
    skipped: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    #: First opens and clicks by hour.
    hours: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    #: `updatedAt` of the live stats.
    counted_at: Mapped[str | None] = mapped_column(String(30))
    #: The version of the counts; a lower one never replaces a higher one.
    live_version: Mapped[BigInt] = mapped_column(server_default=_NONE)
    #: Grows by one with every change of the aggregate's row.
    revision: Mapped[int] = mapped_column(server_default=_NONE)
    #: Of the aggregate's row: the winner of the A/B test.
    winner: Mapped[str | None] = mapped_column(String(50))
    #: Of the aggregate's row: every message is counted.
    is_complete: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Of the aggregate's row: since when no event can change the counts any more.
    sealed_at: Mapped[datetime | None]
