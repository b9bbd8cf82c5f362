"""Campaigns, their variants and contents, and what was decided about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from streams.contracts.fields import CampaignType, Channel, Status
from streams.records.message_id import MAX_NUMBER
from streams.records.sending import Limits
from tables.models.declarative import Base, BigInt, SmallInt, enumeration

_SERIES = "type = 'recurring' AND status = 'running'"


class Campaign(Base):
    """One campaign; a recurring one is a series, whose children are campaigns of their own."""

    __tablename__ = "campaigns"
    __table_args__ = (
        UniqueConstraint("number"),
        Index("idx_campaigns_tenant_status", "tenant_id", "status"),
        Index("idx_campaigns_tenant_channel", "tenant_id", "channel"),
        Index(
            "idx_campaigns_scheduled",
            *("status", "scheduled_at"),
            postgresql_where=text("status = 'scheduled'"),
        ),
        Index(
            "idx_campaigns_list",
            *("tenant_id", text("created_at DESC"), text("id DESC")),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "uq_campaigns_occurrence",
            *("parent_id", "occurrence_at"),
            unique=True,
            postgresql_where=text("occurrence_at IS NOT NULL"),
        ),
        Index(
            "idx_campaigns_children",
            *("parent_id", text("created_at DESC"), text("id DESC")),
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        Index("idx_campaigns_series", "next_occurrence_at", postgresql_where=text(_SERIES)),
        Index(
            "idx_campaigns_ab_test",
            "ab_test_until",
            postgresql_where=text("ab_test_until IS NOT NULL"),
        ),
        Index("idx_campaigns_running", "number", postgresql_where=text("status = 'running'")),
        Index(
            "idx_campaigns_completed",
            "completed_at",
            postgresql_where=text("status = 'completed'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    #: The campaign's name in message ids: 48 bits, below 2^47 so that every language's signed
    #: number holds it.
    number: Mapped[BigInt] = mapped_column(Identity(always=True, minvalue=1, maxvalue=MAX_NUMBER))
    tenant_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    channel: Mapped[Channel]
    status: Mapped[Status] = mapped_column(
        enumeration("campaign_status", Status), server_default="draft"
    )
    type: Mapped[CampaignType] = mapped_column(
        enumeration("campaign_type", CampaignType), server_default="one_time"
    )
    #: What is sent to everybody who gets no variant.
    template_id: Mapped[UUID | None] = mapped_column(ForeignKey("templates.id"))
    segment_ids: Mapped[list[UUID]] = mapped_column(server_default=text("'{}'"))
    exclude_segment_ids: Mapped[list[UUID]] = mapped_column(server_default=text("'{}'"))
    scheduled_at: Mapped[datetime | None]
    #: A name of the IANA time zone database, in which local times of the campaign are read.
    timezone: Mapped[str | None] = mapped_column(String(50), server_default="UTC")
    #: Cron expression, time zone and end of a series.
    recurring_schedule: Mapped[dict[str, Any] | None]
    #: Channel settings, such as the sender.
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    ab_test_config: Mapped[dict[str, Any] | None]
    #: Messages per hour and day at most, of this campaign alone.
    throttle_config: Mapped[dict[str, int] | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    #: The user who created it.
    created_by: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Set on a deleted campaign, which no route shows.
    deleted_at: Mapped[datetime | None]
    #: Grows by one with every change; the ETag.
    version: Mapped[int] = mapped_column(server_default=text("1"))
    #: The series that a child belongs to.
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("campaigns.id"))
    #: The size of the audience, known once it is staged.
    total_recipients: Mapped[int | None]
    #: Messages sent in all, known at the end.
    sent_count: Mapped[int | None]
    #: Recipients skipped in all, known at the end.
    skipped_count: Mapped[int | None]
    #: When the last message of an A/B test's sample was sent.
    sample_sent_at: Mapped[datetime | None]
    #: Which message key signs its message ids.
    key_epoch: Mapped[SmallInt | None]
    #: Whether its links take only their own tokens. Those of campaigns that started before there
    #: were any take message ids, too.
    has_link_tokens: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Whether its messages leave by routes of its tenant, which had some when it started.
    is_built_in: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Why it was cancelled or paused by the engine.
    status_reason: Mapped[str | None] = mapped_column(String(200))
    #: What a person should know of it: most of its recipients were skipped.
    warning: Mapped[str | None] = mapped_column(String(300))
    #: Of the start, for the events that the engine publishes by itself later.
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    #: A due campaign waits until fewer than so many campaigns of its tenant run.
    waits_below: Mapped[int | None]
    #: Of a running series: the first occurrence without a child; null when there is none left.
    next_occurrence_at: Mapped[datetime | None]
    #: Of a child: its occurrence, which stays when `scheduled_at` is changed.
    occurrence_at: Mapped[datetime | None]
    #: While the audience of a started campaign waits for a directory service that is down.
    is_directory_down: Mapped[bool] = mapped_column(server_default=text("false"))
    #: A child that was paused with its series is resumed with it.
    is_paused_by_series: Mapped[bool] = mapped_column(server_default=text("false"))
    #: It was paused because its tenant was suspended, and is resumed with it.
    is_paused_by_suspension: Mapped[bool] = mapped_column(server_default=text("false"))
    #: When an A/B test is to be evaluated; null before its sample is out, once it is decided, and
    #: while a person has to decide.
    ab_test_until: Mapped[datetime | None]
    #: The winner among the variants, repeated here so that every answer can name it.
    winner_variant_id: Mapped[str | None] = mapped_column(String(50))

    @property
    def head(self) -> tuple[str, str, str]:
        """The fields that every event of the campaign begins with."""
        return str(self.id), self.name, self.channel

    @property
    def is_series(self) -> bool:
        return self.type is CampaignType.RECURRING

    @property
    def is_triggered(self) -> bool:
        return self.type is CampaignType.TRIGGERED

    @property
    def origin(self) -> str:
        """The correlationId of the events that the engine publishes by itself: the start's."""
        return self.correlation_id or str(self.id)

    @property
    def limits(self) -> Limits:
        """Of this campaign alone."""
        config = self.throttle_config or {}
        return Limits(per_hour=config.get("messagesPerHour"), per_day=config.get("messagesPerDay"))


class CampaignVariant(Base):
    """One variant of an A/B test."""

    __tablename__ = "campaign_variants"
    __table_args__ = (
        UniqueConstraint("campaign_id", "variant_id"),
        CheckConstraint("weight BETWEEN 0 AND 100", name="campaign_variants_weight_check"),
        Index(
            "uq_campaign_variants_winner",
            "campaign_id",
            unique=True,
            postgresql_where=text("is_winner"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id"))
    #: A, B, C …
    variant_id: Mapped[str] = mapped_column(String(50))
    name: Mapped[str] = mapped_column(String(100))
    template_id: Mapped[UUID] = mapped_column(ForeignKey("templates.id"))
    #: Instead of the template's subject.
    subject: Mapped[str | None] = mapped_column(String(500))
    #: Percent of the sample.
    weight: Mapped[int]
    is_winner: Mapped[bool] = mapped_column(server_default=text("false"))


class AbTestDecision(Base):
    """A decision about an A/B test, by the evaluator or by a person, in order."""

    __tablename__ = "ab_test_decisions"
    __table_args__ = (
        CheckConstraint(
            "decision IN ('winner', 'extend', 'ask', 'declared')",
            name="ab_test_decisions_decision_check",
        ),
        Index("idx_ab_test_decisions_campaign", "campaign_id", "seq"),
    )

    seq: Mapped[BigInt] = mapped_column(Identity(always=True), primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id"))
    at: Mapped[datetime]
    decision: Mapped[str] = mapped_column(String(10))
    variant_id: Mapped[str | None] = mapped_column(String(50))
    #: The user, when it was a person.
    decided_by: Mapped[UUID | None]
    #: The figures that the decision rests on.
    evaluation: Mapped[dict[str, Any] | None]


class CampaignContent(Base):
    """The content of a campaign, fixed when it starts; of a variant where `variant_id` is set."""

    __tablename__ = "campaign_contents"
    __table_args__ = (
        UniqueConstraint("campaign_id", "variant_id", postgresql_nulls_not_distinct=True),
    )
    # The table has no primary key, since variant_id is null for the campaign itself.
    __mapper_args__ = {"primary_key": ["campaign_id", "variant_id"]}  # noqa: RUF012

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id"))
    variant_id: Mapped[str | None] = mapped_column(String(50))
    campaign_name: Mapped[str] = mapped_column(String(255))
    #: The template's content; null where there was no template.
    content: Mapped[dict[str, Any] | None]


class CampaignEntry(Base):
    """When a contact was last taken into a triggered campaign; the re-entry policy asks."""

    __tablename__ = "campaign_entries"

    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    contact_id: Mapped[UUID] = mapped_column(primary_key=True)
    entered_at: Mapped[datetime]


class ComplaintPause(Base):
    """The counts at which a campaign was last paused for its complaints: what comes after them
    decides whether it is paused again.
    """

    __tablename__ = "complaint_pauses"

    campaign_id: Mapped[UUID] = mapped_column(ForeignKey("campaigns.id"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    delivered: Mapped[BigInt]
    complained: Mapped[BigInt]
    paused_at: Mapped[datetime] = mapped_column(server_default=func.now())
