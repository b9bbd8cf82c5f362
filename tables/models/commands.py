"""The traces of commands: their first answers, and the records that must reach Kafka because of
them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Identity, Index, String, func
from sqlalchemy.orm import Mapped, mapped_column

from tables.models.declarative import Base, BigInt


class OutboxRecord(Base):
    """A record for Kafka, written in the transaction of the change that it tells of."""

    __tablename__ = "outbox"
    __table_args__ = (
        {
            "postgresql_with": {
                "fillfactor": "90",
                "autovacuum_vacuum_scale_factor": "0",
                "autovacuum_vacuum_threshold": "5000",
            }
        },
    )

    #: The order within a campaign, because the lock on its row serialises the writers.
    seq: Mapped[BigInt] = mapped_column(Identity(always=True), primary_key=True)
    #: Stable across repeats.
    event_id: Mapped[UUID] = mapped_column(server_default=func.uuidv7())
    #: Without the prefix of the installation.
    topic: Mapped[str] = mapped_column(String(100))
    key: Mapped[str] = mapped_column(String(100))
    #: The header `type`; empty for internal records.
    type: Mapped[str] = mapped_column(String(60), server_default="")
    payload: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RefusedRecord(Base):
    """A record of the outbox that Kafka does not take, such as one that is too large. It is kept
    for a person, for 30 days.
    """

    __tablename__ = "outbox_refused"
    __table_args__ = (Index("idx_outbox_refused_at", "refused_at"),)

    #: Its place in the outbox.
    seq: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    event_id: Mapped[UUID]
    topic: Mapped[str] = mapped_column(String(100))
    key: Mapped[str] = mapped_column(String(100))
    type: Mapped[str] = mapped_column(String(60))
    payload: Mapped[bytes]
    #: The class and the text of Kafka's refusal.
    error: Mapped[str] = mapped_column(String(300))
    refused_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RememberedAnswer(Base):
    """The first answer to a command, an idempotent request or a trigger, given again to every
    repeat.
    """

    __tablename__ = "answers"
    __table_args__ = (
        CheckConstraint("scope IN ('command', 'rest', 'trigger')", name="answers_scope_check"),
        Index("idx_answers_expires", "expires_at"),
    )

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    scope: Mapped[str] = mapped_column(String(10), primary_key=True)
    #: A command's correlationId, a request's Idempotency-Key, or a trigger's campaign and
    #: correlationId.
    correlation_id: Mapped[str] = mapped_column(String(165), primary_key=True)
    #: Of what was asked: the same key with another request is refused.
    request_sha256: Mapped[bytes]
    #: HTTP's.
    status: Mapped[int]
    answer: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime]
