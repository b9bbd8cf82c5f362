"""The audit log of a tenant: who did what, to what, and why. Rows are only ever added, which a
trigger of the database enforces.
"""

from __future__ import annotations

from sqlalchemy import insert

from tables.database.connection import Session
from tables.models import AuditEntry


async def note(
    session: Session, tenant: str, *, actor: str, action: str, subject: str, reason: str
) -> None:
    """Note an action in the transaction that carries it out, so that neither is there without the
    other.

    `actor` is a user's id or the name of a part of the engine, `action` a noun and a verb such as
    `suppression.lifted`, `subject` an id or a keyed hash: never an address or a name, because the
    row outlives an erasure.
    """
    await session.execute(
        insert(AuditEntry).values(
            tenant_id=tenant, actor=actor, action=action, subject=subject, reason=reason
        )
    )
