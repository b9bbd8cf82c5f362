"""The rules of a campaign that need its row or the directory: what a body becomes as columns, and
whether that may be stored or started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import select

from streams.contracts.ab_tests import AbTest
from streams.contracts.bodies import (
    CampaignCreate,
    CampaignUpdate,
    ThrottleConfig,
    checked_settings,
)
from streams.contracts.fields import CampaignType, Extra
from streams.errors import CampaignError, ConflictError, FieldError, broken
from streams.settings import Settings
from tables.campaigns import ab_test_rules
from tables.campaigns.campaign import MOST_PAUSED, count_running
from tables.campaigns.times import times_of
from tables.commands.triggers import mirrored_segments
from tables.database.connection import Session
from tables.directory.segments import unknown_segments
from tables.models import Campaign, Template

NOT_NULL = frozenset({"name", "channel", "type", "segment_ids", "exclude_segment_ids", "settings"})


def columns_of(
    body: CampaignCreate | CampaignUpdate, at: datetime, zone: str | None = None
) -> dict[str, Any]:
    """Column -> value of everything that the body gives; `settings` as they came, times as instants
    (`times_of`).
    """
    columns = {
        name: getattr(body, name)
        for name in (
            type(body).model_fields if isinstance(body, CampaignCreate) else body.model_fields_set
        )
    }
    if isinstance(ab_test := columns.get("ab_test_config"), AbTest):
        columns["ab_test_config"] = ab_test.stored()
    if isinstance(throttle := columns.get("throttle_config"), ThrottleConfig):
        columns["throttle_config"] = throttle.model_dump(by_alias=True, exclude_none=True) or None
    if nulls := sorted(name for name in NOT_NULL & columns.keys() if columns[name] is None):
        raise broken(*(FieldError(to_camel(name), "must not be null") for name in nulls))
    return columns | times_of(body, at, zone)


async def check_columns(
    session: Session, tenant: str, channel: str, columns: Mapping[str, Any], extra: Extra
) -> dict[str, Any]:
    """The columns as they are stored. Raises CampaignError that names every broken rule; an id of
    another tenant is unknown.
    """
    errors = [*_unsupported(columns)]
    checked = dict(columns)
    if "settings" in columns:
        try:
            checked["settings"] = checked_settings(channel, columns["settings"], extra)
        except CampaignError as error:
            errors += error.errors
    is_triggered = columns.get("type") == CampaignType.TRIGGERED
    if "segment_ids" in columns and not columns["segment_ids"] and not is_triggered:
        errors.append(
            FieldError(
                "segmentIds", "needs at least 1 segment; only a triggered campaign may have none"
            )
        )
    if not is_triggered and checked.get("settings", {}).get("reentry"):
        errors.append(FieldError("settings.reentry", "only a triggered campaign has it"))
    for name in ("segment_ids", "exclude_segment_ids"):
        if unknown := await unknown_segments(session, tenant, columns.get(name, ())):
            errors.append(
                FieldError(to_camel(name), f"there is no segment {', '.join(map(str, unknown))}")
            )
        if is_triggered and (
            mirrored := await mirrored_segments(session, tenant, columns.get(name, ()))
        ):
            errors.append(
                FieldError(
                    to_camel(name),
                    f"{', '.join(map(str, mirrored))} is another service's;"
                    " trigger its members yourself",
                )
            )
    if columns.get("template_id"):
        errors += await _template_errors(session, tenant, channel, columns["template_id"])
    if columns.get("ab_test_config"):
        errors += await ab_test_rules.refusals(session, tenant, channel, columns["ab_test_config"])
    if errors:
        raise broken(*errors)
    return checked


def check_complete(campaign: Campaign) -> None:
    """Raises CampaignError when something is missing without which it cannot be sent."""
    needed = ("template_id",) if campaign.is_triggered else ("template_id", "segment_ids")
    missing = [
        name
        for name in needed
        if not getattr(campaign, name) and not (campaign.ab_test_config and name == "template_id")
    ]
    errors = [
        FieldError(to_camel(name), "is needed before the campaign can be scheduled or started")
        for name in missing
    ]
    if errors := errors + ab_test_rules.without_template(campaign):
        raise broken(*errors)


async def check_directory(session: Session, campaign: Campaign) -> None:
    """Raises CampaignError when a template or segment of the campaign has been deleted since."""
    columns = {
        name: getattr(campaign, name)
        for name in ("type", "template_id", "segment_ids", "exclude_segment_ids", "ab_test_config")
    }
    await check_columns(session, campaign.tenant_id, campaign.channel, columns, "ignore")


async def check_room(session: Session, settings: Settings, tenant: str, resumed: int = 0) -> None:
    """Raises ConflictError when one more running campaign would be too many; `resumed` = 1 when it
    is one of the paused ones. Exact while the caller holds the tenant's row.
    """
    if (count := await count_running(session, tenant, resumed)) >= settings.max_running:
        raise ConflictError(
            f"{count} campaigns of this tenant are running;"
            f" the limit is {settings.max_running} running campaigns per tenant."
            f" Of paused ones each beyond {MOST_PAUSED} counts, too."
        )


def of_type(before: Campaign, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that the rules of a type look at beside those of an update: the type itself and,
    when it changes, the columns that depend on it.
    """
    if columns.get("type", before.type) == before.type:
        return {"type": before.type}
    return {
        name: getattr(before, name)
        for name in ("segment_ids", "settings", "recurring_schedule", "ab_test_config")
    }


def changed_columns(before: Campaign, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the columns that differ from the row."""
    return {name: value for name, value in columns.items() if value != getattr(before, name)}


def _unsupported(columns: Mapping[str, Any]) -> Iterable[FieldError]:
    kind, schedule = columns.get("type", CampaignType.ONE_TIME), columns.get("recurring_schedule")
    if kind == CampaignType.RECURRING and schedule is None and "recurring_schedule" in columns:
        yield FieldError(
            "recurringSchedule",
            "a recurring campaign needs it, such as"
            ' {"cron": "0 9 * * 1", "timezone": "Europe/Berlin"}',
        )
    if kind != CampaignType.RECURRING and schedule is not None:
        yield FieldError("recurringSchedule", f"a {kind} campaign has none, only a recurring one")
    if columns.get("ab_test_config") is not None and kind == CampaignType.TRIGGERED:
        yield FieldError(
            "abTestConfig", "a triggered campaign has none: it has no audience to take a sample of"
        )


async def _template_errors(
    session: Session, tenant: str, channel: str, template_id: UUID
) -> Iterable[FieldError]:
    # FOR KEY SHARE: it cannot be deleted before this transaction has made its use visible
    found = await session.scalar(
        select(Template.channel)
        .where(
            Template.tenant_id == tenant,
            Template.id == template_id,
            Template.deleted_at.is_(None),
        )
        .with_for_update(read=True, key_share=True)
    )
    if found is None:
        return [FieldError("templateId", f"there is no template {template_id}")]
    return (
        []
        if found == channel
        else [
            FieldError(
                "templateId", f"is a template for {found}, the campaign's channel is {channel}"
            )
        ]
    )
