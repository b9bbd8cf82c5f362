"""A tenant's own limits, changed in the row and announced to the throttle in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from pydantic.alias_generators import to_camel
from sqlalchemy import update

from streams.contracts.envelope import encode
from streams.records.sending import LimitsChanged
from streams.topics import Name
from tables.database.connection import Session
from tables.database.outbox import Outgoing, append
from tables.models import Tenant
from tables.tenants.audit import ENGINE, Action, Author, note
from tables.tenants.tenants import locked_tenant


async def change_limits(
    session: Session, tenant_id: str, changes: Mapping[str, int | None], by: Author = ENGINE
) -> Tenant:
    """Set `hourly_limit` and `daily_limit`; None = no limit. Campaigns that are being sent obey as
    soon as the throttle reads the record of it.

    Needs a transaction. Raises NotFoundError.
    """
    # the lock orders the records of two changes as the changes
    before = await locked_tenant(session, tenant_id)
    if all(getattr(before, name) == limit for name, limit in changes.items()):
        return before
    statement = update(Tenant).where(Tenant.id == tenant_id).values(changes).returning(Tenant)
    after = await session.first(statement)
    assert after is not None
    changed = {
        to_camel(name): {"from": getattr(before, name), "to": getattr(after, name)}
        for name in changes
    }
    await note(
        session,
        tenant_id,
        by,
        Action.LIMITS_CHANGED,
        subject=f"tenant {tenant_id}",
        details=changed,
    )
    record = LimitsChanged(tenant_id=tenant_id, limits=after.limits)
    # the id is stored with the record, so a repeat of the relay has the same one
    await append(session, [Outgoing(Name.SENDING, tenant_id, "", uuid4(), encode(record))])
    return after
