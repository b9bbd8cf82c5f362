"""Who is in a segment: put in, taken out, listed, and exported as CSV."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from api.campaigns.answers import success
from api.directory.contact_export import exported
from api.directory.contacts import ContactId
from api.directory.schemas import Members
from api.directory.segments import SegmentId
from api.http.auth import Admin, Editor, Viewer
from api.http.json_bodies import JsonRoute
from api.http.paging import Cursor, Limit, from_cursor
from streams.errors import NotFoundError
from tables.contacts.lists import attribute_names, check_known, list_members
from tables.contacts.store import Contact
from tables.database.connection import Connection, once
from tables.directory.directory import add_members, get_segment
from tables.directory.directory_changes import check_members_are_own, remove_members

router = APIRouter(prefix="/segments", tags=["segments"], route_class=JsonRoute)
_CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": "id,externalId,email\r\n"}
        }
    }
}


@router.get("/{segmentId}/members")
async def members(
    request: Request, who: Viewer, segment_id: SegmentId, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """The contacts in it, by id; follow `meta.nextCursor`."""

    async def work(connection: Connection) -> list[Contact]:
        await get_segment(connection, who.tenant_id, segment_id)
        return await list_members(
            connection, who.tenant_id, segment_id, after=cursor, limit=limit + 1
        )

    return from_cursor(await once(request.app.state.pool, work), limit)


@router.post("/{segmentId}/members")
async def add(
    request: Request, who: Editor, segment_id: SegmentId, body: Members
) -> dict[str, Any]:
    """Put up to 10,000 contacts in; those that are in it already stay. An unknown contact is 422,
    and then nobody is put in.
    """

    async def work(connection: Connection) -> dict[str, Any]:
        await get_segment(connection, who.tenant_id, segment_id)
        await check_members_are_own(connection, segment_id)
        await check_known(connection, who.tenant_id, body.contact_ids)
        return {"added": await add_members(connection, who.tenant_id, segment_id, body.contact_ids)}

    return success(await once(request.app.state.pool, work))


@router.post("/{segmentId}/members/remove")
async def remove(
    request: Request, who: Editor, segment_id: SegmentId, body: Members
) -> dict[str, Any]:
    """Take up to 10,000 contacts out; who is not in it is left alone."""
    return success(
        {"removed": await _removed(request, who.tenant_id, segment_id, body.contact_ids)}
    )


@router.delete("/{segmentId}/members/{contactId}", status_code=204, response_class=Response)
async def remove_one(
    request: Request, who: Editor, segment_id: SegmentId, contact_id: ContactId
) -> None:
    """Take one contact out; 404 when it is not in it."""
    if not await _removed(request, who.tenant_id, segment_id, [contact_id]):
        raise NotFoundError(f"The contact {contact_id} is not in the segment.")


@router.get("/{segmentId}/contacts.csv", response_class=StreamingResponse, responses=_CSV)
async def export(request: Request, who: Admin, segment_id: SegmentId) -> StreamingResponse:
    """All contacts of the segment as CSV, as an import takes it; cells that a spreadsheet would
    take for a formula begin with '.
    """

    async def head(connection: Connection) -> list[str]:
        await get_segment(connection, who.tenant_id, segment_id)
        return await attribute_names(connection, who.tenant_id, segment_id)

    names = await once(request.app.state.pool, head)
    rows = exported(request.app.state.pool, who.tenant_id, segment_id, names)
    named = {
        "Content-Disposition": f'attachment; filename="{segment_id}.csv"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=named)


async def _removed(request: Request, tenant: str, segment_id: UUID, contact_ids: list[UUID]) -> int:
    async def work(connection: Connection) -> int:
        await get_segment(connection, tenant, segment_id)
        await check_members_are_own(connection, segment_id)
        return await remove_members(connection, tenant, segment_id, contact_ids)

    return await once(request.app.state.pool, work)
