"""`/segments`: named sets of contacts."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from api.campaigns.answers import success
from api.campaigns.routes import IdempotencyKey
from api.directory.schemas import SegmentName
from api.http.auth import Editor, Viewer
from api.http.idempotency import first_answer
from api.http.json_bodies import JsonRoute
from api.http.paging import PageNumber, PageSize, Search, pages, shown
from tables.database.connection import Connection, once
from tables.directory.directory import Segment, get_segment, list_segments
from tables.directory.directory_changes import (
    count_members,
    create_segment,
    delete_segment,
    rename_segment,
)

router = APIRouter(prefix="/segments", tags=["segments"], route_class=JsonRoute)
SegmentId = Annotated[UUID, Path(alias="segmentId")]


@router.post("", status_code=201)
async def create(
    request: Request, who: Editor, body: SegmentName, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Create an empty segment; 409 when there is one of this name."""

    async def work(connection: Connection) -> dict[str, Any]:
        return shown(await create_segment(connection, who.tenant_id, body.name), memberCount=0)

    content = {"create": "segment", "name": body.name}
    return success(await first_answer(request, who.tenant_id, idempotency_key, content, work))


@router.get("")
async def page(
    request: Request,
    who: Viewer,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    search: Search = None,
) -> dict[str, Any]:
    """The tenant's segments by name, with how many contacts are in each; `search` is a part of the
    name.
    """

    async def work(connection: Connection) -> tuple[list[dict[str, Any]], int]:
        found, total = await list_segments(
            connection, who.tenant_id, search=search, limit=page_size, offset=(page - 1) * page_size
        )
        return await _counted(connection, who.tenant_id, found), total

    found, total = await once(request.app.state.pool, work)
    return pages(found, page, page_size, total)


@router.get("/{segmentId}")
async def one(request: Request, who: Viewer, segment_id: SegmentId) -> dict[str, Any]:
    """The segment and how many contacts are in it."""

    async def work(connection: Connection) -> dict[str, Any]:
        return (
            await _counted(
                connection,
                who.tenant_id,
                [await get_segment(connection, who.tenant_id, segment_id)],
            )
        )[0]

    return success(await once(request.app.state.pool, work))


@router.patch("/{segmentId}")
async def update(
    request: Request, who: Editor, segment_id: SegmentId, body: SegmentName
) -> dict[str, Any]:
    """Give it another name; 409 when another segment has it."""

    async def work(connection: Connection) -> dict[str, Any]:
        return (
            await _counted(
                connection,
                who.tenant_id,
                [await rename_segment(connection, who.tenant_id, segment_id, body.name)],
            )
        )[0]

    return success(await once(request.app.state.pool, work))


@router.delete("/{segmentId}", status_code=204, response_class=Response)
async def delete(request: Request, who: Editor, segment_id: SegmentId) -> None:
    """Delete it, but not its contacts; 409 while a campaign that is not over uses it."""
    await once(
        request.app.state.pool,
        lambda connection: delete_segment(connection, who.tenant_id, segment_id),
    )


async def _counted(
    connection: Connection, tenant: str, segments: list[Segment]
) -> list[dict[str, Any]]:
    counts = await count_members(connection, tenant, [segment.id for segment in segments])
    return [shown(segment, memberCount=counts.get(segment.id, 0)) for segment in segments]
