"""`/suppressions`: where nothing goes any more, whatever segment it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Path, Query, Request, Response

from api.campaigns.answers import success
from api.directory.schemas import MOST_ROWS, SuppressionWrite
from api.http.auth import Editor, Viewer
from api.http.json_bodies import JsonRoute
from api.http.paging import PageNumber, PageSize, Search, pages, shown
from streams.contracts.bodies import validated
from streams.contracts.fields import Channel
from streams.errors import CampaignError
from tables.database.connection import once
from tables.directory.suppressions import (
    get_suppression,
    list_suppressions,
    put_suppression,
    remove_suppression,
)
from tables.directory.suppressions_in_bulk import Wanted, suppress_all

router = APIRouter(prefix="/suppressions", tags=["suppressions"], route_class=JsonRoute)
SuppressionId = Annotated[UUID, Path(alias="suppressionId")]
Rows = Annotated[list[dict[str, Any]], Body(min_length=1, max_length=MOST_ROWS)]
Exactly = Annotated[
    str | None, Query(max_length=512, description="the whole address, in any spelling")
]
OfContact = Annotated[UUID | None, Query(alias="contactId")]
_THERE: Mapping[int | str, dict[str, Any]] = {
    200: {"description": "It was suppressed; the first reason stays"}
}
_SHOWN = 100


@router.post("", status_code=201, responses=dict(_THERE))
async def put(
    request: Request, response: Response, who: Editor, body: SuppressionWrite
) -> dict[str, Any]:
    """Suppress an address or a contact on a channel, also for campaigns that are being sent: from
    their next thousand recipients on.
    """
    found, is_new = await once(
        request.app.state.pool,
        lambda connection: put_suppression(
            connection,
            who.tenant_id,
            body.channel,
            address=body.address,
            contact_id=body.contact_id,
            reason=body.reason,
        ),
    )
    response.status_code = 201 if is_new else 200
    return success(shown(found))


@router.post("/bulk")
async def put_all(request: Request, who: Editor, body: Rows) -> dict[str, Any]:
    """Suppress up to 1,000; a bad one does not stop the others. `line` of a rejected one is its
    place in the array, from 1.
    """
    wanted, rejects = list[Wanted](), list[tuple[int, str]]()
    for line, members in enumerate(body, 1):
        try:
            one = validated(SuppressionWrite, members, "forbid")
            wanted.append(Wanted(line, one.channel, one.address, one.contact_id, one.reason))
        except CampaignError as error:
            rejects.append((line, error.detail))
    done = await once(
        request.app.state.pool, lambda connection: suppress_all(connection, who.tenant_id, wanted)
    )
    rejects = sorted([*rejects, *done.refused])
    listed = [{"line": line, "reason": reason} for line, reason in rejects[:_SHOWN]]
    return success(
        {
            "added": done.added,
            "existing": done.existing,
            "rejected": len(rejects),
            "rejects": listed,
        }
    )


@router.get("")
async def page(
    request: Request,
    who: Viewer,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    channel: Channel | None = None,
    search: Search = None,
    address: Exactly = None,
    contact_id: OfContact = None,
) -> dict[str, Any]:
    """What is suppressed, newest first; `search` is the beginning of an address."""
    filters: dict[str, Any] = {
        "channel": channel,
        "search": search,
        "address": address,
        "contact_id": contact_id,
    }
    found, total = await once(
        request.app.state.pool,
        lambda connection: list_suppressions(
            connection, who.tenant_id, **filters, limit=page_size, offset=(page - 1) * page_size
        ),
    )
    return pages([shown(suppression) for suppression in found], page, page_size, total)


@router.get("/{suppressionId}")
async def one(request: Request, who: Viewer, suppression_id: SuppressionId) -> dict[str, Any]:
    """One suppression."""
    return success(
        shown(
            await once(
                request.app.state.pool,
                lambda connection: get_suppression(connection, who.tenant_id, suppression_id),
            )
        )
    )


@router.delete("/{suppressionId}", status_code=204, response_class=Response)
async def remove(request: Request, who: Editor, suppression_id: SuppressionId) -> None:
    """Let in again. Where one event suppressed a contact and the address that it has, both go."""
    await once(
        request.app.state.pool,
        lambda connection: remove_suppression(connection, who.tenant_id, suppression_id),
    )
