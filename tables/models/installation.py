"""The settings that every process of this installation must have, and what PostgreSQL knows of its
Kafka.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from tables.models.declarative import Base, BigInt


class Installation(Base):
    """One row, which `campaigns prepare` writes and every process compares with its settings."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("is_only", name="installation_is_only_check"),)

    #: Always true: there is one row.
    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    topic_prefix: Mapped[str] = mapped_column(String(200))
    partitions: Mapped[int]
    #: Length of a quota's hour, and of its day.
    hour: Mapped[timedelta]
    day: Mapped[timedelta]
    #: Fingerprint of the secret behind the hashes of former addresses.
    address_key: Mapped[str] = mapped_column(String(32))
    #: Epoch -> `fingerprint` and `use` of each message key.
    message_keys: Mapped[dict[str, Any]]
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Which history of Kafka this database belongs to: the topics hold the same, see
    #: `tables.installation.rounds`. Null until `campaigns prepare` has joined the two.
    identity: Mapped[UUID | None]
    #: Rounds of the outbox: each is announced here before it is written to Kafka …
    announced: Mapped[BigInt] = mapped_column(server_default=text("0"))
    announced_at: Mapped[datetime | None]
    #: … and acknowledged here once Kafka has committed it.
    acknowledged: Mapped[BigInt] = mapped_column(server_default=text("0"))
    #: What is wrong, in a sentence, since a process has found that the two do not fit.
    mismatch: Mapped[str] = mapped_column(Text, server_default=text("''"))
