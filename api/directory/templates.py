"""`/templates`: what is sent; one that cannot be rendered is refused when it is written, not when a
million recipients are skipped.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from api.directory.schemas import Template, TemplateCreate, TemplateUpdate
from api.http.auth import Editor, Viewer
from api.http.dependencies import Transaction
from api.http.envelope import Page, Success, success
from api.http.idempotency import Once
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage, Search
from api.http.preconditions.conditions import ToEdit, ToMake, ToShowWhole
from api.http.preconditions.entity_tags import row_tag
from connectors.templates.checks import check_template, template_hints, template_warnings
from streams.contracts.fields import Channel
from tables import models
from tables.database.connection import Session
from tables.directory.templates import (
    change_template,
    create_template,
    delete_template,
    get_template,
    list_templates,
    lock_template,
)

router = APIRouter(prefix="/templates", tags=["templates"], route_class=JsonRoute)
TemplateId = Annotated[UUID, Path(alias="templateId")]


@router.post("", status_code=201)
async def create(
    who: Editor, body: TemplateCreate, once: Once, conditions: ToMake
) -> Success[Template]:
    """Create a template. A part that is no template is 422 with its line and the reason, and so is
    a name that no contact can have.
    """
    check_template(body.channel, body.content)

    async def work(connection: Session) -> Template:
        made = await create_template(
            connection, who.tenant_id, body.name, body.channel, body.content
        )
        conditions.tag(made)
        return _shown(made)

    content = {"create": "template", **body.model_dump(mode="json")}
    return success(await once.answer(who.tenant_id, content, work, Template.model_validate))


@router.get("")
async def page(
    who: Viewer,
    transaction: Transaction,
    wanted: ByPage,
    channel: Channel | None = None,
    search: Search = None,
) -> Page[Template]:
    """The tenant's templates, newest first; `search` is a part of the name."""
    found, total = await list_templates(
        transaction,
        who.tenant_id,
        channel=channel,
        search=search,
        limit=wanted.size,
        offset=wanted.offset,
    )
    return wanted.of([_shown(template) for template in found], total)


@router.get("/{templateId}")
async def one(
    who: Viewer, transaction: Transaction, template_id: TemplateId, conditions: ToShowWhole
) -> Success[Template]:
    """The template with its content."""
    found = await get_template(transaction, who.tenant_id, template_id)
    conditions.show(row_tag(found))
    return success(_shown(found))


@router.patch("/{templateId}")
async def update(
    who: Editor,
    transaction: Transaction,
    template_id: TemplateId,
    body: TemplateUpdate,
    conditions: ToEdit,
) -> Success[Template]:
    """Change name or content. Campaigns that have started go on with what they started with; drafts
    and scheduled ones get the new one.
    """
    await conditions.check(partial(lock_template, transaction, who.tenant_id, template_id))
    if body.content is not None:
        template = await get_template(transaction, who.tenant_id, template_id)
        check_template(template.channel, body.content)
    changed = await change_template(
        transaction, who.tenant_id, template_id, name=body.name, content=body.content
    )
    conditions.tag(changed)
    return success(_shown(changed))


@router.delete("/{templateId}", status_code=204, response_class=Response)
async def delete(
    who: Editor, transaction: Transaction, template_id: TemplateId, conditions: ToEdit
) -> None:
    """Delete it; 409 while a campaign that is not over uses it. Campaigns that are over keep its
    id.
    """
    await conditions.check(partial(lock_template, transaction, who.tenant_id, template_id))
    await delete_template(transaction, who.tenant_id, template_id)


def _shown(template: models.Template) -> Template:
    return Template.of_row(
        template,
        hints=template_hints(template.channel, template.content),
        warnings=template_warnings(template.content),
    )
