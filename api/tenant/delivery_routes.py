"""`/tenant/routes`: the ways that a tenant's messages leave by, set up and checked."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from api.http.auth import Acting, Admin, Viewer
from api.http.dependencies import Provided, Transaction
from api.http.envelope import Page, Success, success
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage
from api.http.preconditions.conditions import ToEdit, ToPut, ToShowWhole
from api.http.preconditions.entity_tags import row_tag
from api.limits.slots import CHECKS, WRITES, takes
from api.tenant.delivery_route_schemas import (
    CheckedRoute,
    Route,
    RouteCheck,
    RouteFinding,
    RoutePut,
)
from connectors.delivery.http.checks import check
from connectors.delivery.providers.table import check_credentials
from connectors.routes.checks import worst
from connectors.routes.destinations import refused, refused_mailbox
from streams.errors import NotFoundError, broken
from tables.tenants import routes


async def _are_on(services: Provided) -> None:
    if services.settings.routes == "off":
        raise NotFoundError("This installation has no routes of tenants (CAMPAIGNS_ROUTES).")


router = APIRouter(
    prefix="/tenant/routes",
    tags=["routes"],
    route_class=JsonRoute,
    dependencies=[Depends(_are_on)],
)
Named = Annotated[
    str, Path(alias="route", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", description="such as relay-eu")
]


@router.put("/{route}")
async def put(
    who: Admin,
    by: Acting,
    services: Provided,
    transaction: Transaction,
    name: Named,
    body: RoutePut,
    conditions: ToPut,
) -> Success[Route]:
    """Set a route up, or replace its settings; a paused one stays paused. Campaigns of its channel
    that start from then on leave by the tenant's routes. Without `username` and `password` those
    that are stored stay, but 422 when the provider or its address is another than they were given
    for. 409 when the tenant has 20 routes.
    """
    settings, credentials, tenant = body.settings, body.credentials, who.tenant_id
    if credentials is not None:
        check_credentials(settings, credentials)
    wrong = (*refused(services.settings, settings), *refused_mailbox(services.settings, settings))
    if wrong:
        raise broken(*wrong)
    await conditions.check(partial(routes.lock, transaction, tenant, name))
    seal = routes.sealing(services.settings)
    made = await routes.put(
        transaction, seal, tenant, name, settings, credentials, by, mailbox=body.mailbox
    )
    conditions.tag(made)
    return success(Route.of(made))


@router.get("")
async def page(who: Viewer, transaction: Transaction, wanted: ByPage) -> Page[Route]:
    """The tenant's routes by name, without their credentials."""
    found, total = await routes.list_routes(
        transaction, who.tenant_id, limit=wanted.size, offset=wanted.offset
    )
    return wanted.of([Route.of(one) for one in found], total)


@router.get("/{route}")
async def one(
    who: Viewer, transaction: Transaction, name: Named, conditions: ToShowWhole
) -> Success[Route]:
    """One of them."""
    found = await routes.get_route(transaction, who.tenant_id, name)
    conditions.show(row_tag(found))
    return success(Route.of(found))


@router.post("/{route}/check")
@takes(None)  # a slot of each kind for as long as it is used: relays are slow
async def check_route(
    who: Admin, by: Acting, services: Provided, name: Named, body: RouteCheck, conditions: ToEdit
) -> Success[CheckedRoute]:
    """Log in to the relay, or connect to the provider, without sending anything, and read what DNS
    says of a relay's addresses (PTR), of the domains that it sends from (SPF, DKIM, DMARC, MX) and
    of the one that bounces come back to (SPF, MX). A fault is a finding, with the record to set,
    and no error of this request.
    """
    tenant, slots, settings = who.tenant_id, services.slots, services.settings
    async with slots.slot(WRITES, tenant), services.database.transaction() as connection:
        await conditions.check(partial(routes.lock_known, connection, tenant, name))
        route = await routes.get_route(connection, tenant, name)
        conditions.tag(route)
    credentials = routes.opened(routes.sealing(settings), route)
    async with slots.slot(CHECKS, tenant):
        findings = await check(
            settings, routes.settings_of(route), credentials, body.dkim_selectors
        )
    status = worst(findings)
    async with slots.slot(WRITES, tenant), services.database.transaction() as connection:
        await routes.note_check(connection, route, status.value, by)
    shown = [RouteFinding.of_row(finding) for finding in findings]
    return success(CheckedRoute(name=name, status=status, findings=shown))


@router.post("/{route}/pause")
async def pause(
    who: Admin, by: Acting, transaction: Transaction, name: Named, conditions: ToEdit
) -> Success[Route]:
    """Hand nothing to it until it is resumed; a paused one stays as it is."""
    await conditions.check(partial(routes.lock_known, transaction, who.tenant_id, name))
    paused = await routes.pause(transaction, who.tenant_id, name, by)
    conditions.tag(paused)
    return success(Route.of(paused))


@router.post("/{route}/resume")
async def resume(
    who: Admin, by: Acting, transaction: Transaction, name: Named, conditions: ToEdit
) -> Success[Route]:
    """The opposite of pause; one that is not paused stays as it is."""
    await conditions.check(partial(routes.lock_known, transaction, who.tenant_id, name))
    resumed = await routes.resume(transaction, who.tenant_id, name, by)
    conditions.tag(resumed)
    return success(Route.of(resumed))


@router.delete("/{route}", status_code=204, response_class=Response)
async def remove(
    who: Admin, by: Acting, transaction: Transaction, name: Named, conditions: ToEdit
) -> None:
    """Forget it and its credentials."""
    await conditions.check(partial(routes.lock_known, transaction, who.tenant_id, name))
    await routes.remove(transaction, who.tenant_id, name, by)
