"""The rules of a campaign that need its row or the directory: what a body becomes as columns, and whether that may be stored or started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel

from streams.command_bodies import CampaignCreate, CampaignUpdate, Extra, ThrottleConfig, broken, checked_settings
from streams.errors import CampaignError, ConflictError, FieldError
from streams.settings import Settings
from tables.sql.campaigns import Campaign, count_running
from tables.sql.database import Connection
from tables.sql.directory import unknown_segments

NOT_NULL = frozenset({"name", "channel", "type", "segment_ids", "exclude_segment_ids", "settings"})


def columns_of(body: CampaignCreate | CampaignUpdate) -> dict[str, Any]:
    """Column -> value of everything that the body gives; `settings` as they came."""
    given = {name: getattr(body, name) for name in (type(body).model_fields if isinstance(body, CampaignCreate) else body.model_fields_set)}
    columns = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if isinstance(throttle := columns.get("throttle_config"), ThrottleConfig):
        columns["throttle_config"] = throttle.model_dump(by_alias=True, exclude_none=True) or None
    if nulls := sorted(name for name in NOT_NULL & columns.keys() if columns[name] is None):
        raise broken(*(FieldError(to_camel(name), "must not be null") for name in nulls))
    return columns


async def check_columns(connection: Connection, tenant: str, channel: str, columns: Mapping[str, Any], extra: Extra) -> dict[str, Any]:
    """The columns as they are stored. Raises CampaignError that names every broken rule; an id of another tenant is unknown."""
    errors = [*_unsupported(columns)]
    checked = dict(columns)
    if "settings" in columns:
        try:
            checked["settings"] = checked_settings(channel, columns["settings"], extra)
        except CampaignError as error:
            errors += error.errors
    if "segment_ids" in columns and not columns["segment_ids"]:
        errors.append(FieldError("segmentIds", "a one_time campaign needs at least 1 segment"))
    for name in ("segment_ids", "exclude_segment_ids"):
        if unknown := await unknown_segments(connection, tenant, columns.get(name, ())):
            errors.append(FieldError(to_camel(name), f"there is no segment {', '.join(map(str, unknown))}"))
    if columns.get("template_id"):
        errors += await _template_errors(connection, tenant, channel, columns["template_id"])
    if errors:
        raise broken(*errors)
    return checked


def check_complete(campaign: Campaign) -> None:
    """Raises CampaignError when something is missing without which it cannot be sent."""
    missing = [name for name in ("template_id", "segment_ids") if not getattr(campaign, name)]
    if missing:
        raise broken(*(FieldError(to_camel(name), "is needed before the campaign can be scheduled or started") for name in missing))


async def check_directory(connection: Connection, campaign: Campaign) -> None:
    """Raises CampaignError when a template or segment of the campaign has gone since it was stored."""
    columns = {name: getattr(campaign, name) for name in ("type", "template_id", "segment_ids", "exclude_segment_ids")}
    await check_columns(connection, campaign.tenant_id, campaign.channel, columns, "ignore")


async def check_room(connection: Connection, settings: Settings, tenant: str) -> None:
    """Raises ConflictError when one more running campaign would be too many. Exact while the caller holds the tenant's row."""
    if (count := await count_running(connection, tenant)) >= settings.max_running:
        raise ConflictError(
            f"{count} campaigns of this tenant are running; the limit is {settings.max_running} running campaigns per tenant."
        )


def changed_columns(before: Campaign, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the columns that differ from the row."""
    return {name: value for name, value in columns.items() if value != getattr(before, name)}


def _unsupported(columns: Mapping[str, Any]) -> Iterable[FieldError]:
    if (kind := columns.get("type", "one_time")) != "one_time":
        yield FieldError("type", f"{kind} campaigns are not supported by this version; one_time is")
    if columns.get("recurring_schedule") is not None:
        yield FieldError("recurringSchedule", "a one_time campaign has none")
    if columns.get("ab_test_config") is not None:
        yield FieldError("abTestConfig", "A/B tests are not supported by this version")


async def _template_errors(connection: Connection, tenant: str, channel: str, template_id: UUID) -> Iterable[FieldError]:
    found = await connection.fetchval("SELECT channel FROM templates WHERE tenant_id = $1 AND id = $2", tenant, template_id)
    if found is None:
        return [FieldError("templateId", f"there is no template {template_id}")]
    return [] if found == channel else [FieldError("templateId", f"is a template for {found}, the campaign's channel is {channel}")]
