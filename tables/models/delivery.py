"""The ways out of the engine that a tenant has set up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, func
from sqlalchemy.orm import Mapped, mapped_column

from streams.contracts.fields import Channel
from tables.models.declarative import Base


class Route(Base):
    """A way out of one channel of a tenant: a provider, how it is reached, and what it may be asked
    to take.
    """

    __tablename__ = "routes"

    tenant_id: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    #: What the tenant calls it.
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    channel: Mapped[Channel]
    provider: Mapped[str] = mapped_column(String(20))
    #: Everything else that may be shown (streams/contracts/routes.py).
    settings: Mapped[dict[str, Any]]
    #: What the provider lets the tenant in with, encrypted; null where it asks for nothing.
    sealed: Mapped[bytes | None]
    #: What the mailbox of its bounces lets the tenant in with, encrypted; null where it has none.
    sealed_mailbox: Mapped[bytes | None]
    #: Since when nothing is handed to it; null means that it is not paused.
    paused_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Of the settings and what is sealed.
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
