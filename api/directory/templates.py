"""`/templates`: what is sent; one that cannot be rendered is refused when it is written, not when a
million recipients are skipped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response

from api.directory.schemas import Template, TemplateCreate, TemplateUpdate
from api.http.auth import Editor, Viewer
from api.http.dependencies import Provided, Transaction
from api.http.envelope import Page, Success, success
from api.http.idempotency import Once
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage, Search
from api.http.preconditions.conditions import ToEdit, ToMake, ToShowWhole
from api.http.preconditions.entity_tags import row_tag
from connectors.templates.checks import check_template, template_hints, template_warnings
from connectors.templates.turns import beside, turn
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
    async with turn(who.tenant_id):
        told = await beside(partial(_checked, body.channel, body.content))

    async def work(connection: Session) -> Template:
        made = await create_template(
            connection, who.tenant_id, body.name, body.channel, body.content
        )
        conditions.tag(made)
        return told.of(made)

    content = {"create": "template", **body.model_dump(mode="json")}
    return success(await once.answer(who.tenant_id, content, work, Template.model_validate))


@router.get("")
async def page(
    who: Viewer,
    services: Provided,
    wanted: ByPage,
    channel: Channel | None = None,
    search: Search = None,
) -> Page[Template]:
    """The tenant's templates, newest first; `search` is a part of the name."""
    async with services.database.transaction() as connection:
        found, total = await list_templates(
            connection,
            who.tenant_id,
            channel=channel,
            search=search,
            limit=wanted.size,
            offset=wanted.offset,
        )
    return wanted.of([await _shown(template) for template in found], total)


@router.get("/{templateId}")
async def one(
    who: Viewer, services: Provided, template_id: TemplateId, conditions: ToShowWhole
) -> Success[Template]:
    """The template with its content."""
    async with services.database.transaction() as connection:
        found = await get_template(connection, who.tenant_id, template_id)
    conditions.show(row_tag(found))
    return success(await _shown(found))


@router.patch("/{templateId}")
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
    if body.content is not None:
        async with services.database.transaction() as connection:
            channel = (await get_template(connection, who.tenant_id, template_id)).channel
        async with turn(who.tenant_id):
            await beside(partial(check_template, channel, body.content))
    async with services.database.transaction() as connection:
        await conditions.check(partial(lock_template, connection, who.tenant_id, template_id))
        changed = await change_template(
            connection, who.tenant_id, template_id, name=body.name, content=body.content
        )
    conditions.tag(changed)
    return success(await _shown(changed))


@router.delete("/{templateId}", status_code=204, response_class=Response)
async def delete(
    who: Editor, transaction: Transaction, template_id: TemplateId, conditions: ToEdit
) -> None:
    """Delete it; 409 while a campaign that is not over uses it. Campaigns that are over keep its
    id.
    """
    await conditions.check(partial(lock_template, transaction, who.tenant_id, template_id))
    await delete_template(transaction, who.tenant_id, template_id)


@dataclass(frozen=True)
class _Told:
    """What an author is told of a content. It takes 0.2 s for one of the largest."""

    hints: Mapping[str, Any]
    warnings: Sequence[str]

    @classmethod
    def by(cls, channel: str, content: Mapping[str, Any]) -> _Told:
        return cls(template_hints(channel, content), template_warnings(content))

    def of(self, template: models.Template) -> Template:
        return Template.of_row(template, hints=self.hints, warnings=list(self.warnings))


# By the tag of the row, or a list of large templates would take seconds each time.
_TOLD = OrderedDict[str, _Told]()
_MOST_TOLD = 10_000


def _checked(channel: str, content: Mapping[str, Any]) -> _Told:
    """Raises CampaignError."""
    check_template(channel, content)
    return _Told.by(channel, content)


async def _shown(template: models.Template) -> Template:
    if (told := _TOLD.get(key := row_tag(template))) is None:
        async with turn(template.tenant_id):
            told = await beside(partial(_Told.by, template.channel, template.content))
        _TOLD[key] = told
        if len(_TOLD) > _MOST_TOLD:
            _TOLD.popitem(last=False)
    return told.of(template)
