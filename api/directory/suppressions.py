"""`/suppressions`: contacts and addresses that get nothing more, whatever segment they are in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from api.directory.contact_schemas import Rejected
from api.directory.schemas import Suppressed, Suppression, SuppressionRows, SuppressionWrite
from api.http.auth import Acting, Admin, Editor, Viewer
from api.http.dependencies import Transaction
from api.http.envelope import Page, Success, success
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage, Search
from api.http.preconditions.conditions import ToEdit, ToMake, ToShowWhole
from api.http.preconditions.entity_tags import row_tag
from streams.contracts.bodies import validated
from streams.contracts.fields import Channel
from streams.errors import CampaignError
from tables import models
from tables.channels import CHANNELS
from tables.directory.opt_ins import keep
from tables.directory.suppressions import (
    get_suppression,
    lift_suppression,
    list_suppressions,
    lock_suppression,
    put_suppression,
)
from tables.directory.suppressions_in_bulk import Wanted, suppress_all

router = APIRouter(prefix="/suppressions", tags=["suppressions"], route_class=JsonRoute)
SuppressionId = Annotated[UUID, Path(alias="suppressionId")]
Exactly = Annotated[
    str | None, Query(max_length=512, description="the whole address, in any spelling")
]
OfContact = Annotated[UUID | None, Query(alias="contactId")]
LiftedFor = Annotated[
    str,
    Query(
        min_length=1,
        max_length=500,
        pattern=r"\S",
        description="why, for the audit log: who asked, and how; no address",
    ),
]
_THERE: Mapping[int | str, dict[str, Any]] = {
    200: {
        "model": Success[Suppression],
        "description": "It was suppressed; the first reason stays",
    }
}
_SHOWN = 100


def _shown(row: models.Suppression, asked: str | None = None) -> Suppression:
    """A suppression; `asked` is the address by which a list was asked for it."""
    if row.address_hash is None:
        return Suppression.of_row(row, address_hash=None)
    address = None if asked is None else CHANNELS[row.channel].compared(asked)
    return Suppression.of_row(row, address=address, address_hash=row.address_hash.hex())


@router.post("", status_code=201, responses=dict(_THERE))
async def put(
    response: Response,
    who: Editor,
    transaction: Transaction,
    body: SuppressionWrite,
    conditions: ToMake,
) -> Success[Suppression]:
    """Suppress an address or a contact on a channel, also for campaigns that are being sent: from
    their next thousand recipients on.
    """
    found, is_new = await put_suppression(
        transaction,
        who.tenant_id,
        body.channel,
        address=body.address,
        contact_id=body.contact_id,
        reason=body.reason,
    )
    if not is_new:
        await keep(transaction, found)
    response.status_code = 201 if is_new else 200
    conditions.tag(found)
    return success(_shown(found))


@router.post("/bulk")
async def put_all(
    who: Editor, transaction: Transaction, body: SuppressionRows
) -> Success[Suppressed]:
    """Suppress up to 1,000; a bad one does not stop the others. `line` of a rejected one is its
    place in the array, from 1.
    """
    wanted, rejects = list[Wanted](), list[tuple[int, str]]()
    for line, members in enumerate(body.root, 1):
        try:
            one = validated(SuppressionWrite, members, "forbid")
            wanted.append(Wanted(line, one.channel, one.address, one.contact_id, one.reason))
        except CampaignError as error:
            rejects.append((line, error.detail))
    done = await suppress_all(transaction, who.tenant_id, wanted)
    rejects = sorted([*rejects, *done.refused])
    listed = [Rejected(line=line, reason=reason) for line, reason in rejects[:_SHOWN]]
    return success(
        Suppressed(added=done.added, existing=done.existing, rejected=len(rejects), rejects=listed)
    )


@router.get("")
async def page(
    who: Viewer,
    transaction: Transaction,
    wanted: ByPage,
    channel: Channel | None = None,
    search: Search = None,
    address: Exactly = None,
    contact_id: OfContact = None,
) -> Page[Suppression]:
    """The tenant's suppressions, newest first; `search` is the beginning of an address."""
    found, total = await list_suppressions(
        transaction,
        who.tenant_id,
        channel=channel,
        search=search,
        address=address,
        contact_id=contact_id,
        limit=wanted.size,
        offset=wanted.offset,
    )
    return wanted.of([_shown(one, address) for one in found], total)


@router.get("/{suppressionId}")
async def one(
    who: Viewer, transaction: Transaction, suppression_id: SuppressionId, conditions: ToShowWhole
) -> Success[Suppression]:
    """One suppression."""
    found = await get_suppression(transaction, who.tenant_id, suppression_id)
    conditions.show(row_tag(found))
    return success(_shown(found))


@router.delete("/{suppressionId}", status_code=204, response_class=Response)
async def lift(
    who: Admin,
    by: Acting,
    transaction: Transaction,
    suppression_id: SuppressionId,
    reason: LiftedFor,
    conditions: ToEdit,
) -> None:
    """Let in again, which the audit log keeps with the reason. Where one event suppressed a contact
    and the address that it has, both go.
    """
    await conditions.check(partial(lock_suppression, transaction, who.tenant_id, suppression_id))
    await lift_suppression(transaction, who.tenant_id, suppression_id, by=by, reason=reason)
