"""`/templates`: what is sent; one that cannot be rendered is refused when it is written, not when a
million recipients are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response

from api.directory.schemas import ListedTemplate, Template, TemplateCreate, TemplateUpdate
from api.http.auth import Editor, Viewer
from api.http.dependencies import Provided, Services, Transaction
from api.http.envelope import Page, Success, success
from api.http.idempotency import Once
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage, Search
from api.http.preconditions.conditions import ToEdit, ToMake, ToShowWhole
from api.http.preconditions.entity_tags import row_tag
from api.limits.slots import RENDERINGS, takes
from connectors.templates.beside import beside
from connectors.templates.checks import check_template, template_hints, template_warnings
from streams.contracts.fields import Channel
from tables import models
from tables.database.connection import Session
from tables.directory.templates import (
    change_template,
    create_template,
    delete_template,
    get_template,
    keep_hints,
    list_templates,
    lock_template,
)

router = APIRouter(prefix="/templates", tags=["templates"], route_class=JsonRoute)
TemplateId = Annotated[UUID, Path(alias="templateId")]


@router.post("", status_code=201)
@takes(RENDERINGS)
async def create(
    who: Editor, body: TemplateCreate, once: Once, conditions: ToMake
) -> Success[Template]:
    """Create a template. A part that is no template is 422 with its line and the reason, and so is
    a name that no contact can have.
    """
    hints = await beside(partial(_checked, body.channel, body.content))

    async def work(session: Session) -> Template:
        made = await create_template(
            session, who.tenant_id, body.name, body.channel, body.content, hints
        )
        conditions.tag(made)
        return _shown(made, hints)

    content = {"create": "template", **body.model_dump(mode="json")}
    return success(await once.answer(who.tenant_id, content, work, Template.model_validate))


@router.get("")
async def page(
    who: Viewer,
    services: Provided,
    wanted: ByPage,
    channel: Channel | None = None,
    search: Search = None,
) -> Page[ListedTemplate]:
    """The tenant's templates without their contents, newest first; `search` is a part of the
    name.
    """
    async with services.database.transaction() as session:
        found, total = await list_templates(
            session,
            who.tenant_id,
            channel=channel,
            search=search,
            limit=wanted.size,
            offset=wanted.offset,
        )
    return wanted.of([_listed(template) for template in found], total)


@router.get("/{templateId}")
async def one(
    who: Viewer, services: Provided, template_id: TemplateId, conditions: ToShowWhole
) -> Success[Template]:
    """The template with its content."""
    async with services.database.transaction() as session:
        found = await get_template(session, who.tenant_id, template_id)
    conditions.show(row_tag(found))
    if found.current_hints is not None:
        return success(_shown(found, found.current_hints))
    async with services.slots.slot(RENDERINGS, who.tenant_id):
        return success(_shown(found, await _hints(services, found)))


@router.patch("/{templateId}")
@takes(RENDERINGS)
async def update(
    who: Editor,
    services: Provided,
    template_id: TemplateId,
    body: TemplateUpdate,
    conditions: ToEdit,
) -> Success[Template]:
    """Change name or content. Campaigns that have started go on with what they started with; drafts
    and scheduled ones get the new one.
    """
    hints = None
    if body.content is not None:
        async with services.database.transaction() as session:
            channel = (await get_template(session, who.tenant_id, template_id)).channel
        hints = await beside(partial(_checked, channel, body.content))
    async with services.database.transaction() as session:
        await conditions.check(partial(lock_template, session, who.tenant_id, template_id))
        changed = await change_template(
            session,
            who.tenant_id,
            template_id,
            name=body.name,
            content=body.content,
            hints=hints,
        )
    conditions.tag(changed)
    return success(_shown(changed, await _hints(services, changed)))


@router.delete("/{templateId}", status_code=204, response_class=Response)
async def delete(
    who: Editor, transaction: Transaction, template_id: TemplateId, conditions: ToEdit
) -> None:
    """Delete it; 409 while a campaign that is not over uses it. Campaigns that are over keep its
    id.
    """
    await conditions.check(partial(lock_template, transaction, who.tenant_id, template_id))
    await delete_template(transaction, who.tenant_id, template_id)


def _checked(channel: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The hints of a template that can be rendered. Takes a second for a long one. Raises
    CampaignError.
    """
    check_template(channel, content)
    return _found(channel, content)


def _found(channel: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"hints": template_hints(channel, content), "warnings": template_warnings(content)}


async def _hints(services: Services, template: models.Template) -> Mapping[str, Any]:
    """Those that are stored; found and stored first where an earlier version wrote the template."""
    if (stored := template.current_hints) is not None:
        return stored
    found = await beside(partial(_found, template.channel, template.content))
    async with services.database.transaction() as session:
        await keep_hints(session, template, found)
    return found


def _shown(template: models.Template, hints: Mapping[str, Any]) -> Template:
    return Template.of_row(template, **hints)


def _listed(template: models.Template) -> ListedTemplate:
    return ListedTemplate.of_row(
        template, **(template.current_hints or {"hints": None, "warnings": None})
    )
