"""`/tenant`: the limits of the caller's tenant, and how much of them is used."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from fastapi import APIRouter

from api.http.auth import Acting, Admin, Viewer
from api.http.dependencies import Provided, Services, Transaction
from api.http.envelope import Success, success
from api.http.json_bodies import JsonRoute
from api.http.preconditions.conditions import ToEdit, ToShow
from api.http.preconditions.entity_tags import row_tag
from api.tenant.schemas import Limits, LimitsUpdate, Period, Usage
from tables.models import Tenant
from tables.tenants.limits import change_limits
from tables.tenants.tenants import get_tenant, locked_tenant
from tables.throttle.usage import Used

router = APIRouter(prefix="/tenant", tags=["tenant"], route_class=JsonRoute)


@router.get("")
async def current(
    who: Viewer, services: Provided, transaction: Transaction, conditions: ToShow
) -> Success[Limits]:
    """Limits and usage of the tenant. `used` was sent in the windows that touch the last hour
    (day), `inFlight` is about to be; `usage` is null while it has not been read from Kafka yet.
    """
    tenant = await get_tenant(transaction, who.tenant_id)
    conditions.show(row_tag(tenant))
    return _shown(services, tenant)


@router.patch("")
async def update(
    who: Admin,
    by: Acting,
    services: Provided,
    transaction: Transaction,
    body: LimitsUpdate,
    conditions: ToEdit,
) -> Success[Limits]:
    """Change the limits; null = none. Campaigns that are being sent obey within a second."""
    await conditions.check(partial(locked_tenant, transaction, who.tenant_id))
    names = {"messages_per_hour": "hourly_limit", "messages_per_day": "daily_limit"}
    changes = {names[name]: getattr(body, name) for name in body.model_fields_set}
    changed = await change_limits(transaction, who.tenant_id, changes, by)
    conditions.tag(changed)
    return _shown(services, changed)


def _shown(services: Services, tenant: Tenant) -> Success[Limits]:
    return success(
        Limits(
            tenant_id=tenant.id,
            messages_per_hour=tenant.hourly_limit,
            messages_per_day=tenant.daily_limit,
            created_at=tenant.created_at,
            usage=_usage(services, tenant),
        )
    )


def _usage(services: Services, tenant: Tenant) -> Usage | None:
    sending = services.sending
    if not sending.ready.is_set():
        return None
    limits, state = (tenant.hourly_limit, tenant.daily_limit), sending.tenant(tenant.id)
    hour, day = sending.quota.used(tenant.id, state, limits, datetime.now(UTC), services.settings)
    return Usage(hour=_period(hour), day=_period(day))


def _period(used: Used) -> Period:
    return Period.of_row(used, used=used.sent)
