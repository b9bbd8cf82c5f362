"""Templates of a tenant: the content that is sent on one channel. The id of another tenant's
template is as unknown as one that never was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, func, insert, or_, select, update
from sqlalchemy.orm import defer

from streams.errors import CampaignError, FieldError, NotFoundError
from tables.channels import CHANNELS
from tables.database.connection import Session
from tables.database.search import has_text
from tables.directory.refusals import checked_name, refuse_copy, refuse_while_needed
from tables.models import Campaign, CampaignVariant, Template


async def create_template(
    session: Session,
    tenant: str,
    name: str,
    channel: str,
    content: Mapping[str, Any],
    hints: Mapping[str, Any] | None = None,
) -> Template:
    """Raises CampaignError that names every wrong field. Whether the text renders is not checked
    here. `hints` are those of the content, if the caller has found them.
    """
    checked = check_content(channel, content)
    new = insert(Template).values(
        tenant_id=tenant,
        name=checked_name(name),
        channel=channel,
        content=checked,
        hints=hints,
        hinted_at=func.now(),
        updated_at=func.now(),
    )
    made = await session.first(new.returning(Template))
    assert made is not None
    return made


async def get_template(session: Session, tenant: str, template_id: UUID) -> Template:
    """Raises NotFoundError."""
    found = await session.first(_one(tenant, template_id))
    if found is None:
        raise _unknown(template_id)
    return found


async def lock_template(session: Session, tenant: str, template_id: UUID) -> Template:
    """`get_template`, and no other transaction changes it until this one ends."""
    found = await session.first(_one(tenant, template_id).with_for_update())
    if found is None:
        raise _unknown(template_id)
    return found


def _one(tenant: str, template_id: UUID) -> Select[Template]:
    return _kept(tenant).where(Template.id == template_id)


def _kept(tenant: str) -> Select[Template]:
    return select(Template).where(Template.tenant_id == tenant, Template.deleted_at.is_(None))


async def list_templates(
    session: Session,
    tenant: str,
    *,
    channel: str | None = None,
    search: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Template], int]:
    """A page without the contents, newest first, and how many there are; `search` finds a part of
    the name, whatever its case.
    """
    statement = _kept(tenant).options(defer(Template.content, raiseload=True))
    statement = statement.order_by(Template.created_at.desc(), Template.id)
    if channel is not None:
        statement = statement.where(Template.channel == channel)
    if search:
        statement = statement.where(has_text(Template.name, search))
    return await session.page(statement, limit, offset)


async def change_template(
    session: Session,
    tenant: str,
    template_id: UUID,
    *,
    name: str | None = None,
    content: Mapping[str, Any] | None = None,
    hints: Mapping[str, Any] | None = None,
) -> Template:
    """Replace the name, the content (with its `hints`, if the caller has found them) or both; the
    channel stays. Campaigns that have started keep the content they started with.

    Raises NotFoundError, CampaignError for content that does not fit the channel, and ConflictError
    for a mirrored template.
    """
    before = await get_template(session, tenant, template_id)
    changes: dict[str, Any] = {"updated_at": func.now()}
    if content is not None:
        changes["content"] = check_content(before.channel, content)
        changes |= {"hints": hints, "hinted_at": func.now()}
    elif before.current_hints is not None:
        changes["hinted_at"] = func.now()
    refuse_copy(before)
    if name is not None:
        changes["name"] = checked_name(name)
    statement = (
        update(Template)
        .where(
            Template.tenant_id == tenant,
            Template.id == template_id,
            Template.deleted_at.is_(None),
        )
        .values(changes)
        .returning(Template)
    )
    changed = await session.first(statement)
    if changed is None:
        raise _unknown(template_id)
    return changed


async def keep_hints(session: Session, template: Template, hints: Mapping[str, Any]) -> None:
    """Store the hints that were found in the content of this template, unless it has changed."""
    await session.execute(
        update(Template)
        .where(Template.id == template.id, Template.updated_at == template.updated_at)
        .values(hints=hints, hinted_at=Template.updated_at)
    )


async def delete_template(session: Session, tenant: str, template_id: UUID) -> None:
    """Hide the template; finished campaigns still show it. Raises NotFoundError, and ConflictError
    for a mirrored template and one that campaigns need, which it names.
    """
    template = await lock_template(session, tenant, template_id)
    is_used = or_(
        Campaign.template_id == template_id,
        exists().where(
            CampaignVariant.campaign_id == Campaign.id, CampaignVariant.template_id == template_id
        ),
    )
    await refuse_while_needed(session, tenant, "template", is_used)
    refuse_copy(template)
    hidden = update(Template).where(Template.id == template_id).values(deleted_at=func.now())
    await session.execute(hidden)


def check_content(channel: str, content: Mapping[str, Any]) -> dict[str, str]:
    """The content when it is right for the channel. Raises CampaignError that names every wrong
    field.
    """
    if errors := tuple(_content_errors(channel, content)):
        raise CampaignError("The template's content does not fit its channel.", errors=errors)
    return dict(content)


def _content_errors(channel: str, content: Mapping[str, Any]) -> Iterator[FieldError]:
    if (rules := CHANNELS.get(channel)) is None:
        yield FieldError("channel", f"one of {', '.join(CHANNELS)}")
        return
    for field, value in content.items():
        if (longest := rules.content.get(field)) is None:
            rule = f"{channel} has no such field; it has {', '.join(rules.content)}"
            yield FieldError(f"content.{field}", rule)
        elif not isinstance(value, str) or len(value) > longest or "\0" in value:
            rule = f"a text of at most {longest:,} characters, without NUL"
            yield FieldError(f"content.{field}", rule)
    for field in rules.required:
        if not content.get(field):
            yield FieldError(f"content.{field}", f"{channel} needs it")
    if channel == "email" and not (content.get("html") or content.get("text")):
        yield FieldError("content", "email needs html, text or both")


def _unknown(template_id: UUID) -> NotFoundError:
    return NotFoundError(f"There is no template {template_id}.")
