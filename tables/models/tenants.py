"""Tenants, their API keys, the browsers that these sign in, the domains that they send from, and
what their providers sign webhooks with.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from streams.records.sending import Limits
from tables.models.declarative import Base


class Tenant(Base):
    """A company that sends campaigns."""

    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint("hourly_limit > 0", name="tenants_hourly_limit_check"),
        CheckConstraint("daily_limit > 0", name="tenants_daily_limit_check"),
    )

    #: The name that keys, records and URLs carry.
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    #: Messages in any sliding hour at most; null means no limit.
    hourly_limit: Mapped[int | None]
    #: Messages in any sliding day at most; null means no limit.
    daily_limit: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Since then its keys do nothing and its campaigns wait; null means never, or not any more.
    suspended_at: Mapped[datetime | None]
    #: When everything of it is removed; null means never.
    delete_after: Mapped[datetime | None]

    @property
    def limits(self) -> Limits:
        """Of all campaigns of the tenant together."""
        return Limits(per_hour=self.hourly_limit, per_day=self.daily_limit)


class ApiKey(Base):
    """A bearer key of a tenant's user; the secret itself is stored nowhere."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(
            "role IN ('viewer', 'editor', 'sender', 'admin')", name="api_keys_role_check"
        ),
        Index("idx_api_keys_tenant", "tenant_id", text("created_at DESC")),
    )

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"))
    user_id: Mapped[UUID]
    role: Mapped[str] = mapped_column(String(10))
    #: SHA-256 of the secret.
    secret_sha256: Mapped[bytes]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: What the key's owner calls it.
    name: Mapped[str | None] = mapped_column(String(100))
    #: SHA-256 of the secret before the last rotation, valid until `previous_expires_at`.
    previous_sha256: Mapped[bytes | None]
    previous_expires_at: Mapped[datetime | None]


class SignInCode(Base):
    """A code that signs one browser in, once; the code itself is stored nowhere."""

    __tablename__ = "sign_in_codes"
    __table_args__ = (
        Index("idx_sign_in_codes_key", "key_id", "expires_at"),
        Index("idx_sign_in_codes_expires", "expires_at"),
    )

    #: SHA-256 of the code.
    code_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16), ForeignKey("api_keys.id", ondelete="CASCADE"))
    #: SHA-256 of the key's secret that asked for the code, which is good while that secret is.
    secret_sha256: Mapped[bytes]
    expires_at: Mapped[datetime]


class BrowserSession(Base):
    """A browser that is signed in to the dashboard; the id in its cookie is stored nowhere."""

    __tablename__ = "browser_sessions"
    __table_args__ = (
        Index("idx_browser_sessions_key", "key_id", "expires_at"),
        Index("idx_browser_sessions_expires", "expires_at"),
    )

    #: SHA-256 of the id.
    id_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16), ForeignKey("api_keys.id", ondelete="CASCADE"))
    #: The key's user and role when the browser was signed in; a key with others ends the session.
    user_id: Mapped[UUID]
    role: Mapped[str] = mapped_column(String(10))
    #: SHA-256 of the key's secret that signed the browser in; the session is good while that is.
    secret_sha256: Mapped[bytes]
    #: When the session ends unless it is used; never after `ends_at`.
    expires_at: Mapped[datetime]
    ends_at: Mapped[datetime]


class AuditEntry(Base):
    """An action that a tenant may have to account for. A row is never changed, and stays for a year
    at least.
    """

    __tablename__ = "audit_log"
    __table_args__ = (Index("idx_audit_log_tenant", "tenant_id", text("id DESC")),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    tenant_id: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: The user's id, or the name of a part of the engine.
    actor: Mapped[str] = mapped_column(String(100))
    #: A noun and a verb, such as `suppression.lifted`.
    action: Mapped[str] = mapped_column(String(60))
    #: An id or a keyed hash, never an address or a name.
    subject: Mapped[str] = mapped_column(String(200))
    #: The actor's own words; empty where none are asked for.
    reason: Mapped[str] = mapped_column(String(500))
    #: The API key that the actor used.
    key_id: Mapped[str | None] = mapped_column(String(100))
    #: Of the request.
    correlation_id: Mapped[str | None] = mapped_column(String(128))
    #: The values that were set, without any that is secret or a person's.
    details: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class WebhookSecret(Base):
    """The secrets with which a tenant's provider signs webhooks, sealed under a key derived from
    the message keys.
    """

    __tablename__ = "webhook_secrets"

    tenant_id: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    provider: Mapped[str] = mapped_column(String(20), primary_key=True)
    #: The names of the parts that are set, which may be shown.
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text))
    #: The parts themselves, encrypted.
    sealed: Mapped[bytes]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookSubscription(Base):
    """Amazon SNS asks to confirm a subscription: a person opens the address, the engine never."""

    __tablename__ = "webhook_subscriptions"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    provider: Mapped[str] = mapped_column(String(20), primary_key=True)
    topic_arn: Mapped[str] = mapped_column(String(300), primary_key=True)
    subscribe_url: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WebhookToken(Base):
    """The meaning of a provider's token when it was first seen; the token never gets another."""

    __tablename__ = "webhook_tokens"
    __table_args__ = (Index("idx_webhook_tokens_expires", "expires_at"),)

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    provider: Mapped[str] = mapped_column(String(20), primary_key=True)
    token: Mapped[str] = mapped_column(String(200), primary_key=True)
    meaning: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime]


class SenderDomain(Base):
    """A domain that a tenant wants to send from, and what DNS last said of it. It is verified while
    that was the record of this row; it covers its subdomains.
    """

    __tablename__ = "sender_domains"

    tenant_id: Mapped[str] = mapped_column(String(64), ForeignKey("tenants.id"), primary_key=True)
    #: Lower case, labels in ASCII.
    domain: Mapped[str] = mapped_column(String(253), primary_key=True)
    #: Random, of this row alone: another tenant's record of the same domain has another one.
    token: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: When DNS answered last; null means never.
    checked_at: Mapped[datetime | None]
    #: Since when each answer has been the record; null means that the last one was not.
    verified_at: Mapped[datetime | None]
    #: What the last answer was (tables/tenants/sender_domains.py).
    finding: Mapped[str | None] = mapped_column(String(20))

    @property
    def record_name(self) -> str:
        """The name of the TXT record that proves the domain (underscored: RFC 8552)."""
        return f"_campaigns.{self.domain}"

    @property
    def record_value(self) -> str:
        """Its value."""
        return f"campaigns-verification={self.token}"
