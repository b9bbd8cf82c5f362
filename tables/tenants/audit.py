"""The audit log of a tenant: who did what, to what, by which key, in which request, and why.

A row is written in the transaction of the change, so that neither is there without the other. It is
never changed, and stays for a year at least, which triggers of the database enforce; after that
`CAMPAIGNS_AUDIT_RETENTION` may remove it (tables/database/retention.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from tables.database.connection import Session
from tables.models import AuditEntry


class Action(StrEnum):
    """Everything that is noted: a noun and what became of it."""

    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    LIMITS_CHANGED = "limits.changed"
    WEBHOOK_SET = "webhook.set"
    WEBHOOK_REMOVED = "webhook.removed"
    DOMAIN_ADDED = "domain.added"
    DOMAIN_CHECKED = "domain.checked"
    DOMAIN_REMOVED = "domain.removed"
    ROUTE_SET = "route.set"
    ROUTE_CHECKED = "route.checked"
    ROUTE_PAUSED = "route.paused"
    ROUTE_RESUMED = "route.resumed"
    ROUTE_REMOVED = "route.removed"
    CAMPAIGN_RECONCILED = "campaign.reconciled"
    CONTACT_ERASED = "contact.erased"
    DOUBTS_DECIDED = "doubts.decided"
    SEGMENT_EXPORTED = "segment.exported"
    SUPPRESSION_LIFTED = "suppression.lifted"
    TENANT_CREATED = "tenant.created"
    TENANT_SUSPENDED = "tenant.suspended"
    TENANT_RESUMED = "tenant.resumed"
    TENANT_DELETION_REQUESTED = "tenant.deletion-requested"
    TENANT_DELETED = "tenant.deleted"


@dataclass(frozen=True, slots=True)
class Author:
    """The one who acts: a user's id, or the name of a part of the engine; the API key that was
    used, and the request's correlation id, where there are some.
    """

    actor: str
    key_id: str | None = None
    correlation_id: str | None = None


#: The engine itself, as in the demo.
ENGINE = Author("engine")
#: A person with access to the database, who is known to the operating system only.
COMMAND_LINE = Author("command-line")


async def note(
    session: Session,
    tenant: str,
    by: Author,
    action: Action,
    *,
    subject: str,
    reason: str = "",
    details: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Note an action in the transaction that carries it out.

    `subject` is an id or a keyed hash, and `details` are settings: never an address, a name or a
    secret, because the row outlives an erasure.
    """
    await session.execute(
        insert(AuditEntry).values(
            tenant_id=tenant,
            actor=by.actor,
            key_id=by.key_id,
            correlation_id=by.correlation_id,
            action=action,
            subject=subject,
            reason=reason,
            details=dict(details),
        )
    )


async def list_entries(
    session: Session,
    tenant: str,
    *,
    action: Action | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """The tenant's entries, newest first: those older than the entry `after`, from `since` on and
    before `until`.
    """
    wanted = [AuditEntry.tenant_id == tenant]
    if action is not None:
        wanted.append(AuditEntry.action == action)
    if since is not None:
        wanted.append(AuditEntry.at >= since)
    if until is not None:
        wanted.append(AuditEntry.at < until)
    if after is not None:
        wanted.append(AuditEntry.id < after)
    newest = select(AuditEntry).where(*wanted).order_by(AuditEntry.id.desc())
    return await session.every(newest.limit(limit))


async def is_known(session: Session, tenant: str) -> bool:
    """Whether the log has anything of a tenant of this name, who may be gone."""
    of_it = select(AuditEntry.id).where(AuditEntry.tenant_id == tenant)
    return bool(await session.scalar(select(of_it.exists())))
