"""`/audit`: what was done in the caller's tenant that it may have to account for, and by whom."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.http.auth import Admin
from api.http.dependencies import Transaction
from api.http.envelope import Slice
from api.http.json_bodies import JsonRoute
from api.http.paging import ByCursor
from api.tenant.schemas import AuditEntry
from streams.contracts.fields import Moment
from tables.tenants.audit import Action, list_entries

router = APIRouter(prefix="/audit", tags=["audit"], route_class=JsonRoute)
Since = Annotated[Moment | None, Query(description="not before this instant, RFC 3339")]
Until = Annotated[Moment | None, Query(description="before this instant, RFC 3339")]


@router.get("")
async def entries(
    who: Admin,
    transaction: Transaction,
    wanted: ByCursor,
    action: Action | None = None,
    since: Since = None,
    until: Until = None,
) -> Slice[AuditEntry]:
    """The tenant's audit log, newest first; follow `meta.nextCursor`."""
    found = await list_entries(
        transaction,
        who.tenant_id,
        action=action,
        since=since,
        until=until,
        after=wanted.after,
        limit=wanted.wanted,
    )
    return wanted.of(AuditEntry, found)
