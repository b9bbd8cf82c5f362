"""The rules of an A/B test that need the campaign's row or the directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select

from streams.errors import FieldError
from tables.database.connection import Session
from tables.models import Campaign, Template

_FIELD = "abTestConfig.variants"


async def refusals(
    session: Session, tenant: str, channel: str, config: Mapping[str, Any]
) -> list[FieldError]:
    """The mistakes of a stored test: a template that this tenant lacks or that is another
    channel's, a subject where the channel has none.
    """
    variants = config["variants"]
    wanted = [UUID(variant["templateId"]) for variant in variants if "templateId" in variant]
    # FOR KEY SHARE: none of them can be deleted before this transaction has made its use visible
    templates = await session.execute(
        select(Template.id, Template.channel)
        .where(Template.tenant_id == tenant, Template.id.in_(wanted), Template.deleted_at.is_(None))
        .with_for_update(read=True, key_share=True)
    )
    known = dict(templates.all())
    errors = []
    for number, variant in enumerate(variants):
        if "subject" in variant and channel != "email":
            errors.append(
                FieldError(
                    f"{_FIELD}.{number}.subject",
                    f"only an email has a subject, the campaign's channel is {channel}",
                )
            )
        if (template := variant.get("templateId")) is None:
            continue
        if (found := known.get(UUID(template))) is None:
            errors.append(
                FieldError(f"{_FIELD}.{number}.templateId", f"there is no template {template}")
            )
        elif found != channel:
            wrong = f"is a template for {found}, the campaign's channel is {channel}"
            errors.append(FieldError(f"{_FIELD}.{number}.templateId", wrong))
    return errors


def without_template(campaign: Campaign) -> list[FieldError]:
    """The variants that have no template, because the campaign has none either."""
    if campaign.template_id or not campaign.ab_test_config:
        return []
    needed = (
        "is needed before the campaign can be scheduled or started,"
        " because the campaign has no template either"
    )
    variants = enumerate(campaign.ab_test_config["variants"])
    return [
        FieldError(f"{_FIELD}.{number}.templateId", needed)
        for number, variant in variants
        if "templateId" not in variant
    ]
