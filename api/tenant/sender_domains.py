"""`/sender-domains`: the domains that a tenant sends from, and the records that prove them."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.http.auth import Acting, Admin, Viewer
from api.http.dependencies import Provided, Transaction
from api.http.envelope import Page, Success, answers, success
from api.http.idempotency import Once
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage
from api.http.preconditions.conditions import ToEdit, ToMake, ToShowWhole
from api.http.preconditions.entity_tags import row_tag
from api.limits.slots import LOOK_UPS, READS, WRITES, takes
from api.tenant.sender_domain_schemas import ADDED, Domain, DomainAdd, SenderDomain
from connectors.domains.verification import look_up
from tables.database.connection import Session
from tables.tenants.sender_domains import (
    add_domain,
    get_domain,
    list_domains,
    lock_domain,
    note_finding,
    remove_domain,
)

router = APIRouter(prefix="/sender-domains", tags=["sender-domains"], route_class=JsonRoute)
Named = Annotated[Domain, Path(description="such as acme.com, in any spelling")]


@router.post("", status_code=201, responses=answers(201, ADDED))
async def add(
    who: Admin, by: Acting, body: DomainAdd, once: Once, conditions: ToMake
) -> Success[SenderDomain]:
    """Add a domain; the answer names the TXT record to set. 409 when the tenant has it, or 100."""

    async def work(session: Session) -> SenderDomain:
        made = await add_domain(session, who.tenant_id, body.domain, by)
        conditions.tag(made)
        return SenderDomain.of(made)

    content = {"create": "sender-domain", "domain": body.domain}
    return success(await once.answer(who.tenant_id, content, work, SenderDomain.model_validate))


@router.get("")
async def page(who: Viewer, transaction: Transaction, wanted: ByPage) -> Page[SenderDomain]:
    """The tenant's sender domains by name."""
    found, total = await list_domains(
        transaction, who.tenant_id, limit=wanted.size, offset=wanted.offset
    )
    return wanted.of([SenderDomain.of(one) for one in found], total)


@router.get("/{domain}")
async def one(
    who: Viewer, transaction: Transaction, domain: Named, conditions: ToShowWhole
) -> Success[SenderDomain]:
    """One of them, with its record and what DNS last said of it."""
    found = await get_domain(transaction, who.tenant_id, domain)
    conditions.show(row_tag(found))
    return success(SenderDomain.of(found))


@router.post("/{domain}/verify")
@takes(None)  # a slot of each kind for as long as it is used: DNS is slow, and needs no connection
async def verify(
    who: Admin, by: Acting, services: Provided, domain: Named, conditions: ToEdit
) -> Success[SenderDomain]:
    """Ask DNS for the record now. The domain is verified if it is there, and not verified any more
    if it is not: `finding` says what is there instead. 503 when DNS does not answer.
    """
    tenant, slots = who.tenant_id, services.slots
    async with slots.slot(READS, tenant), services.database.transaction() as session:
        asked = await get_domain(session, tenant, domain)
    async with slots.slot(LOOK_UPS, tenant):
        finding = await look_up(services.settings, asked)
    async with slots.slot(WRITES, tenant), services.database.transaction() as session:
        await conditions.check(partial(lock_domain, session, tenant, domain))
        after = await note_finding(session, asked, finding, by)
        conditions.tag(after)
    return success(SenderDomain.of(after))


@router.delete("/{domain}", status_code=204, response_class=Response)
async def remove(
    who: Admin, by: Acting, transaction: Transaction, domain: Named, conditions: ToEdit
) -> None:
    """Remove it: what is being sent goes on, and nothing else is sent from it where senders have to
    be verified. Added again it has another record.
    """
    await conditions.check(partial(lock_domain, transaction, who.tenant_id, domain))
    await remove_domain(transaction, who.tenant_id, domain, by)
