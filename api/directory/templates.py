"""`/templates`: what is sent; one that cannot be rendered is refused when it is written, not when a
million recipients are skipped.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from api.campaigns.answers import success
from api.campaigns.routes import IdempotencyKey
from api.directory.schemas import TemplateCreate, TemplateUpdate
from api.http.auth import Editor, Viewer
from api.http.idempotency import first_answer
from api.http.json_bodies import JsonRoute
from api.http.paging import PageNumber, PageSize, Search, pages, shown
from connectors.templates.checks import check_template, template_hints
from streams.contracts.fields import Channel
from tables.database.connection import Connection, once
from tables.directory.directory import Template, create_template, get_template, list_templates
from tables.directory.directory_changes import change_template, delete_template

router = APIRouter(prefix="/templates", tags=["templates"], route_class=JsonRoute)
TemplateId = Annotated[UUID, Path(alias="templateId")]


@router.post("", status_code=201)
async def create(
    request: Request, who: Editor, body: TemplateCreate, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Create a template. A part that is no template is 422 with its line and the reason."""
    check_template(body.channel, body.content)

    async def work(connection: Connection) -> dict[str, Any]:
        return _shown(
            await create_template(connection, who.tenant_id, body.name, body.channel, body.content)
        )

    content = {"create": "template", **body.model_dump(mode="json")}
    return success(await first_answer(request, who.tenant_id, idempotency_key, content, work))


@router.get("")
async def page(
    request: Request,
    who: Viewer,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    channel: Channel | None = None,
    search: Search = None,
) -> dict[str, Any]:
    """The tenant's templates, newest first; `search` is a part of the name."""
    offset = (page - 1) * page_size
    found, total = await once(
        request.app.state.pool,
        lambda connection: list_templates(
            connection,
            who.tenant_id,
            channel=channel,
            search=search,
            limit=page_size,
            offset=offset,
        ),
    )
    return pages([_shown(template) for template in found], page, page_size, total)


@router.get("/{templateId}")
async def one(request: Request, who: Viewer, template_id: TemplateId) -> dict[str, Any]:
    """The template with its content."""
    return success(
        _shown(
            await once(
                request.app.state.pool,
                lambda connection: get_template(connection, who.tenant_id, template_id),
            )
        )
    )


@router.patch("/{templateId}")
async def update(
    request: Request, who: Editor, template_id: TemplateId, body: TemplateUpdate
) -> dict[str, Any]:
    """Change name or content. Campaigns that have started go on with what they started with; drafts
    and scheduled ones get the new one.
    """

    async def work(connection: Connection) -> dict[str, Any]:
        if body.content is not None:
            check_template(
                (await get_template(connection, who.tenant_id, template_id)).channel, body.content
            )
        return _shown(
            await change_template(
                connection, who.tenant_id, template_id, name=body.name, content=body.content
            )
        )

    return success(await once(request.app.state.pool, work))


@router.delete("/{templateId}", status_code=204, response_class=Response)
async def delete(request: Request, who: Editor, template_id: TemplateId) -> None:
    """Delete it; 409 while a campaign that is not over uses it. Campaigns that are over keep its
    id.
    """
    await once(
        request.app.state.pool,
        lambda connection: delete_template(connection, who.tenant_id, template_id),
    )


def _shown(template: Template) -> dict[str, Any]:
    return shown(template, hints=template_hints(template.channel, template.content))
