"""The ways out of the engine that a tenant has set up, what they were given, and what they never
answered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, func
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


class RouteUsage(Base):
    """The messages that a route may have been given in a minute. It outlives the route: whoever
    sets it up anew has used it all the same.
    """

    __tablename__ = "route_usage"
    __table_args__ = (Index("idx_route_usage_at", "at"),)

    tenant_id: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    route: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: When the minute began; a part of CAMPAIGNS_HOUR as long as that.
    at: Mapped[datetime] = mapped_column(primary_key=True)
    messages: Mapped[int]


class Doubt(Base):
    """A message that was handed over and never answered."""

    __tablename__ = "doubts"
    __table_args__ = (
        Index("idx_doubts_campaign", "campaign_id", "message_id"),
        Index("idx_doubts_at", "at"),
    )

    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    campaign_id: Mapped[UUID]
    contact_id: Mapped[UUID]
    #: The name of the route that may have it; empty when it was removed.
    route: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    #: What became of it (tables/audience/doubts.py); null while it is held.
    resolution: Mapped[str | None] = mapped_column(String(10))
    resolved_at: Mapped[datetime | None]
