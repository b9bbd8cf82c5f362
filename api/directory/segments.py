"""`/segments`: named sets of contacts."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from api.directory.schemas import EMPTY_SEGMENT, Segment, SegmentName
from api.http.auth import Editor, Viewer
from api.http.dependencies import Transaction
from api.http.envelope import Page, Success, answers, success
from api.http.idempotency import Once
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage, Search
from api.http.preconditions.conditions import ToEdit, ToMake, ToShow
from api.http.preconditions.entity_tags import row_tag
from tables import models
from tables.database.connection import Session
from tables.directory.segments import (
    count_members,
    create_segment,
    delete_segment,
    get_segment,
    list_segments,
    lock_segment,
    rename_segment,
)

router = APIRouter(prefix="/segments", tags=["segments"], route_class=JsonRoute)
SegmentId = Annotated[UUID, Path(alias="segmentId")]


@router.post("", status_code=201, responses=answers(201, EMPTY_SEGMENT))
async def create(
    who: Editor, body: SegmentName, once: Once, conditions: ToMake
) -> Success[Segment]:
    """Create an empty segment; 409 when there is one of this name."""

    async def work(session: Session) -> Segment:
        made = await create_segment(session, who.tenant_id, body.name)
        conditions.tag(made)
        return Segment.of_row(made, member_count=0)

    content = {"create": "segment", "name": body.name}
    return success(await once.answer(who.tenant_id, content, work, Segment.model_validate))


@router.get("")
async def page(
    who: Viewer, transaction: Transaction, wanted: ByPage, search: Search = None
) -> Page[Segment]:
    """The tenant's segments by name, with how many contacts are in each; `search` is a part of the
    name.
    """
    found, total = await list_segments(
        transaction, who.tenant_id, search=search, limit=wanted.size, offset=wanted.offset
    )
    return wanted.of(await _counted(transaction, who.tenant_id, *found), total)


@router.get("/{segmentId}")
async def one(
    who: Viewer, transaction: Transaction, segment_id: SegmentId, conditions: ToShow
) -> Success[Segment]:
    """The segment and how many contacts are in it."""
    found = await get_segment(transaction, who.tenant_id, segment_id)
    conditions.show(row_tag(found))
    [counted] = await _counted(transaction, who.tenant_id, found)
    return success(counted)


@router.patch("/{segmentId}")
async def update(
    who: Editor,
    transaction: Transaction,
    segment_id: SegmentId,
    body: SegmentName,
    conditions: ToEdit,
) -> Success[Segment]:
    """Give it another name; 409 when another segment has it."""
    await conditions.check(partial(lock_segment, transaction, who.tenant_id, segment_id))
    renamed = await rename_segment(transaction, who.tenant_id, segment_id, body.name)
    conditions.tag(renamed)
    [counted] = await _counted(transaction, who.tenant_id, renamed)
    return success(counted)


@router.delete("/{segmentId}", status_code=204, response_class=Response)
async def delete(
    who: Editor, transaction: Transaction, segment_id: SegmentId, conditions: ToEdit
) -> None:
    """Delete it, but not its contacts; 409 while a campaign that is not over uses it."""
    await conditions.check(partial(lock_segment, transaction, who.tenant_id, segment_id))
    await delete_segment(transaction, who.tenant_id, segment_id)


async def _counted(session: Session, tenant: str, *segments: models.Segment) -> list[Segment]:
    counts = await count_members(session, tenant, [segment.id for segment in segments])
    return [Segment.of_row(segment, member_count=counts.get(segment.id, 0)) for segment in segments]
