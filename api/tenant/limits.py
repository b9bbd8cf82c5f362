"""`/tenant`: the limits of the caller's tenant, and how much of them is used."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from api.campaigns.answers import success
from api.directory.schemas import LimitsUpdate
from api.http.auth import Admin, Viewer
from api.http.json_bodies import JsonRoute
from streams.contracts.envelope import rfc3339
from tables.database.connection import once
from tables.tenants.limits import change_limits
from tables.tenants.tenants import Tenant, get_tenant
from tables.throttle.usage import Used

router = APIRouter(prefix="/tenant", tags=["tenant"], route_class=JsonRoute)


@router.get("")
async def current(request: Request, who: Viewer) -> dict[str, Any]:
    """Limits and usage of the tenant. `used` was sent in the windows that touch the last hour
    (day), `inFlight` is about to be; `usage` is null while it has not been read from Kafka yet.
    """
    return success(
        _shown(
            request,
            await once(
                request.app.state.pool, lambda connection: get_tenant(connection, who.tenant_id)
            ),
        )
    )


@router.patch("")
async def update(request: Request, who: Admin, body: LimitsUpdate) -> dict[str, Any]:
    """Change the limits; null = none. Campaigns that are being sent obey within a second."""
    names = {"messages_per_hour": "hourly_limit", "messages_per_day": "daily_limit"}
    changes = {names[name]: getattr(body, name) for name in body.model_fields_set}
    return success(
        _shown(
            request,
            await once(
                request.app.state.pool,
                lambda connection: change_limits(connection, who.tenant_id, changes),
            ),
        )
    )


def _shown(request: Request, tenant: Tenant) -> dict[str, Any]:
    return {
        "tenantId": tenant.id,
        "messagesPerHour": tenant.hourly_limit,
        "messagesPerDay": tenant.daily_limit,
        "createdAt": rfc3339(tenant.created_at),
        "usage": _usage(request, tenant),
    }


def _usage(request: Request, tenant: Tenant) -> dict[str, Any] | None:
    sending = request.app.state.sending
    if not sending.ready.is_set():
        return None
    limits = tenant.hourly_limit, tenant.daily_limit
    hour, day = sending.quota.used(
        tenant.id, sending.tenant(tenant.id), limits, datetime.now(UTC), request.app.state.settings
    )
    return {"hour": _period(hour), "day": _period(day)}


def _period(used: Used) -> dict[str, Any]:
    until = rfc3339(used.until) if used.until else None
    return {
        "used": used.sent,
        "inFlight": used.in_flight,
        "limit": used.limit,
        "left": used.left,
        "until": until,
    }
