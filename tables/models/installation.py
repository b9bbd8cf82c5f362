"""The settings that every process of this installation must have."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CheckConstraint, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from tables.models.declarative import Base


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
