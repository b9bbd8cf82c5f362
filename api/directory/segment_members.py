"""The contacts of a segment: put in, taken out, listed, and exported as CSV."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from starlette.responses import StreamingResponse

from api.directory.contact_export import exported
from api.directory.contact_schemas import Contact
from api.directory.contacts import ContactId
from api.directory.schemas import Added, Members, Removed
from api.directory.segments import SegmentId
from api.http.auth import Acting, Admin, Editor, Viewer
from api.http.dependencies import Provided, Transaction
from api.http.envelope import Slice, Success, success
from api.http.json_bodies import JsonRoute
from api.http.paging import ByCursor
from streams.errors import NotFoundError
from tables.contacts.lists import attribute_names, check_known, list_members
from tables.database.connection import Session
from tables.directory.segments import (
    add_members,
    check_members_are_own,
    get_segment,
    remove_members,
)
from tables.tenants.audit import Action, note

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
    who: Viewer, transaction: Transaction, segment_id: SegmentId, wanted: ByCursor
) -> Slice[Contact]:
    """The contacts in it, by id; follow `meta.nextCursor`."""
    await get_segment(transaction, who.tenant_id, segment_id)
    found = await list_members(
        transaction, who.tenant_id, segment_id, after=wanted.after, limit=wanted.wanted
    )
    return wanted.of(Contact, found)


@router.post("/{segmentId}/members")
async def add(
    who: Editor, transaction: Transaction, segment_id: SegmentId, body: Members
) -> Success[Added]:
    """Put up to 10,000 contacts in; those that are in it already stay. An unknown contact is 422,
    and then none is put in.
    """
    await get_segment(transaction, who.tenant_id, segment_id)
    await check_members_are_own(transaction, segment_id)
    await check_known(transaction, who.tenant_id, body.contact_ids)
    added = await add_members(transaction, who.tenant_id, segment_id, body.contact_ids)
    return success(Added(added=added))


@router.post("/{segmentId}/members/remove")
async def remove(
    who: Editor, transaction: Transaction, segment_id: SegmentId, body: Members
) -> Success[Removed]:
    """Take up to 10,000 contacts out; those that are not in it are left alone."""
    removed = await _removed(transaction, who.tenant_id, segment_id, body.contact_ids)
    return success(Removed(removed=removed))


@router.delete("/{segmentId}/members/{contactId}", status_code=204, response_class=Response)
async def remove_one(
    who: Editor, transaction: Transaction, segment_id: SegmentId, contact_id: ContactId
) -> None:
    """Take one contact out; 404 when it is not in it."""
    if not await _removed(transaction, who.tenant_id, segment_id, [contact_id]):
        raise NotFoundError(f"The contact {contact_id} is not in the segment.")


@router.get("/{segmentId}/contacts.csv", response_class=StreamingResponse, responses=_CSV)
async def export(
    who: Admin, by: Acting, services: Provided, segment_id: SegmentId
) -> StreamingResponse:
    """All contacts of the segment as CSV, as an import takes it; cells that a spreadsheet would
    take for a formula begin with '. The audit log says who asked, before the first row leaves.
    """
    async with services.database.transaction() as session:
        await get_segment(session, who.tenant_id, segment_id)
        names = await attribute_names(session, who.tenant_id, segment_id)
        subject = f"segment {segment_id}"
        await note(session, who.tenant_id, by, Action.SEGMENT_EXPORTED, subject=subject)
    rows = exported(services, who.tenant_id, segment_id, names)
    named = {"Content-Disposition": f'attachment; filename="{segment_id}.csv"'}
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=named)


async def _removed(session: Session, tenant: str, segment_id: UUID, contact_ids: list[UUID]) -> int:
    await get_segment(session, tenant, segment_id)
    await check_members_are_own(session, segment_id)
    return await remove_members(session, tenant, segment_id, contact_ids)
