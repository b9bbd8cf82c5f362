"""The bodies of the lifecycle verbs, one definition for REST and Kafka, and the rules that need no
database.

REST refuses unknown fields; Kafka ignores them (`validated(…, extra="ignore")`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from streams.contracts.ab_tests import AbTest
from streams.contracts.channel_settings import SETTINGS
from streams.contracts.fields import (
    Body,
    CampaignType,
    Channel,
    Description,
    Extra,
    Json,
    Limit,
    Name,
    Reason,
    References,
    Segments,
    Time,
    TimeZone,
)
from streams.contracts.recurrence import RecurringSchedule
from streams.errors import FieldError, broken


class ThrottleConfig(Body):
    """At most so many messages of this campaign in any sliding hour and day; absent or null = no
    limit.
    """

    messages_per_hour: Limit | None = None
    messages_per_day: Limit | None = None


class CampaignCreate(Body):
    """The body of `POST /campaigns` and of `campaign.create`. `settings` depend on the channel:
    `checked_settings` checks them.
    """

    name: Name
    description: Description | None = None
    channel: Channel
    type: CampaignType = CampaignType.ONE_TIME
    template_id: UUID | None = None
    segment_ids: Segments = Field(default_factory=list)
    exclude_segment_ids: Segments = Field(default_factory=list)
    scheduled_at: Time | None = None
    timezone: TimeZone | None = "UTC"
    recurring_schedule: RecurringSchedule | None = None
    settings: Json = Field(default_factory=dict)
    ab_test_config: AbTest | None = None
    throttle_config: ThrottleConfig | None = None

    @property
    def references(self) -> References:
        return _references(self)


class CampaignUpdate(Body):
    """The body of `PATCH /campaigns/{id}`: only the given fields change (`model_fields_set`);
    `settings` and lists are replaced whole.
    """

    name: Name | None = None
    description: Description | None = None
    channel: Channel | None = None
    type: CampaignType | None = None
    template_id: UUID | None = None
    segment_ids: Segments | None = None
    exclude_segment_ids: Segments | None = None
    scheduled_at: Time | None = None
    timezone: TimeZone | None = None
    recurring_schedule: RecurringSchedule | None = None
    settings: Json | None = None
    ab_test_config: AbTest | None = None
    throttle_config: ThrottleConfig | None = None

    @property
    def references(self) -> References:
        return _references(self)


def _references(body: CampaignCreate | CampaignUpdate) -> References:
    own = () if body.template_id is None else (body.template_id,)
    of_test = () if body.ab_test_config is None else body.ab_test_config.references.templates
    segments = (*(body.segment_ids or ()), *(body.exclude_segment_ids or ()))
    return References(segments=segments, templates=(*own, *of_test))


class CampaignSchedule(Body):
    """The body of the schedule verb."""

    scheduled_at: Time
    timezone: TimeZone | None = None


class Explanation(Body):
    """The body of start, pause, resume, cancel and delete: empty, or with a reason, which is in the
    events and in `statusReason`.
    """

    reason: Reason | None = None


B = TypeVar("B", bound=BaseModel)


def validated(model: type[B], data: object, extra: Extra, within: str = "") -> B:
    """`data` as a `model`. Raises CampaignError that names each field (under `within`), its rule
    and limit.
    """
    try:
        return model.model_validate(data, extra=extra)
    except ValidationError as error:
        raise broken(
            *(
                FieldError(_path(within, *item["loc"]), sentence(item["msg"]))
                for item in error.errors(include_url=False)
            )
        ) from error


def checked_settings(channel: str, settings: Mapping[str, Any], extra: Extra) -> dict[str, Any]:
    """The settings as they are stored: those of this channel, nulls left out. Raises
    CampaignError.
    """
    return validated(SETTINGS[channel], settings, extra, "settings").model_dump(
        mode="json", by_alias=True, exclude_none=True
    )


def _path(*parts: object) -> str:
    return ".".join(str(part) for part in parts if part != "")


def sentence(message: str) -> str:
    """A message of pydantic without its "Value error, ", which says nothing."""
    return message.removeprefix("Value error, ")
