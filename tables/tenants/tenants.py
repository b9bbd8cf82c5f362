"""Tenants: created, read and locked."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from streams.contracts.commands import TENANT_ID
from streams.contracts.fields import MAX_INTEGER
from streams.errors import (
    CampaignError,
    ConflictError,
    FieldError,
    NotFoundError,
    TenantSuspendedError,
)
from tables.database.connection import Session
from tables.database.statements import Statements
from tables.models import Tenant
from tables.tenants import audit
from tables.tenants.audit import ENGINE, Action, Author


async def create_tenant(
    session: Session,
    tenant_id: str,
    *,
    hourly: int | None = None,
    daily: int | None = None,
    by: Author = ENGINE,
) -> Tenant:
    """Raises CampaignError for a bad name or limit, and ConflictError when the tenant exists or
    did: a second one of the name would be shown the audit log of the first.
    """
    if errors := tuple(_mistakes(tenant_id, hourly, daily)):
        raise CampaignError("; ".join(error.message for error in errors), errors=errors)
    new = postgresql.insert(Tenant).values(id=tenant_id, hourly_limit=hourly, daily_limit=daily)
    made = await session.first(new.on_conflict_do_nothing().returning(Tenant))
    if made is None:
        raise ConflictError(f"The tenant {tenant_id} exists already.")
    if await audit.is_known(session, tenant_id):
        raise ConflictError(
            f"There was a tenant {tenant_id}, which was deleted and whose audit log is kept: take"
            " another name."
        )
    limits = {"hourlyLimit": hourly, "dailyLimit": daily}
    subject = f"tenant {tenant_id}"
    await audit.note(session, tenant_id, by, Action.TENANT_CREATED, subject=subject, details=limits)
    return made


def _mistakes(tenant_id: str, hourly: int | None, daily: int | None) -> Iterator[FieldError]:
    if not TENANT_ID.fullmatch(tenant_id):
        rule = "a tenant's name is 1 to 63 of a-z, 0-9 and -, and does not start with -"
        yield FieldError("tenantId", rule)
    for name, limit in (("hourly", hourly), ("daily", daily)):
        if limit is not None and not 1 <= limit <= MAX_INTEGER:
            rule = f"is at least 1 and at most {MAX_INTEGER:,}; leave it out for none"
            yield FieldError(name, f"the {name} limit {rule}")


async def get_tenant(session: Session, tenant_id: str) -> Tenant:
    """Raises NotFoundError."""
    found = await session.first(select(Tenant).where(Tenant.id == tenant_id))
    if found is None:
        raise _unknown(tenant_id)
    return found


async def tenant_exists(session: Statements, tenant_id: str) -> bool:
    """Whether there is a tenant of this name. Raises TenantSuspendedError for one that is
    suspended.
    """
    sql = "SELECT suspended_at IS NOT NULL FROM tenants WHERE id = %(tenant)s"
    found = await session.values(sql, tenant=tenant_id)
    if found == [True]:
        raise TenantSuspendedError
    return bool(found)


async def lock_tenant(session: Session, tenant_id: str) -> None:
    """Make other transactions that lock the tenant wait until this one ends: starts of campaigns
    and changes of limits follow each other. Take it before a campaign's row.

    Raises NotFoundError.
    """
    row = select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True)
    if await session.scalar(row) is None:
        raise _unknown(tenant_id)


async def lock_active_tenant(session: Session, tenant_id: str) -> None:
    """`lock_tenant` for what begins something. Raises NotFoundError and, for a tenant that is
    suspended, TenantSuspendedError.
    """
    row = select(Tenant.suspended_at).where(Tenant.id == tenant_id).with_for_update(key_share=True)
    found = (await session.execute(row)).first()
    if found is None:
        raise _unknown(tenant_id)
    if found.suspended_at is not None:
        raise TenantSuspendedError


async def locked_tenant(session: Session, tenant_id: str) -> Tenant:
    """The tenant under `lock_tenant`. Raises NotFoundError."""
    await lock_tenant(session, tenant_id)
    return await get_tenant(session, tenant_id)


def _unknown(tenant_id: str) -> NotFoundError:
    return NotFoundError(f"There is no tenant {tenant_id}.")
