"""The bodies of the lifecycle verbs, one definition for REST and Kafka, and the rules that need no database.

REST refuses unknown fields; Kafka ignores them (`validated(…, extra="ignore")`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from streams.errors import CampaignError, FieldError

Extra = Literal["forbid", "ignore"]
Channel = Literal["email", "sms", "whatsapp", "push"]
MIN_PER_HOUR = 100  # specification, section 9: slower campaigns would look stalled
_MAX_COUNT = 2**31 - 1  # integer columns
_MAX_SEGMENTS = 1000
_MAX_DEPTH = 10


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    return value


def _instant(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("must be an RFC 3339 time such as 2026-01-28T09:00:00Z")  # pydantic would take a number as Unix seconds
    return value


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must have an offset, such as 2026-01-28T09:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from error


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:  # unknown; not normalised; a folder of zones
        raise ValueError("must be an IANA time zone such as America/New_York") from error
    return value


def _address(value: str) -> str:
    try:
        return validate_email(value, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError("must be an email address") from error


def _duration(value: str) -> str:
    try:
        is_right = value.startswith("P") and TypeAdapter(timedelta).validate_python(value) > timedelta(0)
    except ValidationError:
        is_right = False
    if not is_right:
        raise ValueError("must be a positive ISO 8601 duration such as P1D")
    return value


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:  # serialising what is nested by the hundred raises
        raise ValueError(f"must not be nested more than {_MAX_DEPTH} levels deep")
    return value


def _inside(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _distinct(values: list[UUID]) -> list[UUID]:
    return list(dict.fromkeys(values))


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_one_line)]
Description = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_text)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)]
Instant = Annotated[datetime, BeforeValidator(_instant), AfterValidator(_utc)]
TimeZone = Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(_time_zone)]
Label = Annotated[str, StringConstraints(max_length=255), AfterValidator(_one_line)]
Address = Annotated[str, StringConstraints(max_length=320), AfterValidator(_address)]
Duration = Annotated[str, StringConstraints(max_length=50), AfterValidator(_duration)]
Switch = Annotated[bool, Field(strict=True)]
Limit = Annotated[int, Field(strict=True, ge=MIN_PER_HOUR, le=_MAX_COUNT)]
Json = Annotated[dict[str, Any], AfterValidator(_shallow)]
Segments = Annotated[list[UUID], Field(max_length=_MAX_SEGMENTS), AfterValidator(_distinct)]


class Body(BaseModel):
    """camelCase on the wire; a wrong value is never repeated in an error."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True)


class ThrottleConfig(Body):
    """At most so many messages of this campaign in any sliding hour and day; absent or null = no limit."""

    messages_per_hour: Limit | None = None
    messages_per_day: Limit | None = None


class CampaignCreate(Body):
    """The body of `POST /campaigns` and of `campaign.create`. `settings` depend on the channel: `checked_settings` checks them."""

    name: Name
    description: Description | None = None
    channel: Channel
    type: Literal["one_time", "recurring", "triggered"] = "one_time"
    template_id: UUID | None = None
    segment_ids: Segments = Field(default_factory=list)
    exclude_segment_ids: Segments = Field(default_factory=list)
    scheduled_at: Instant | None = None
    timezone: TimeZone | None = "UTC"
    recurring_schedule: Json | None = None
    settings: Json = Field(default_factory=dict)
    ab_test_config: Json | None = None
    throttle_config: ThrottleConfig | None = None


class CampaignUpdate(Body):
    """The body of `PATCH /campaigns/{id}`: only what is given changes (`model_fields_set`); `settings` and lists are replaced whole."""

    name: Name | None = None
    description: Description | None = None
    channel: Channel | None = None
    type: Literal["one_time", "recurring", "triggered"] | None = None
    template_id: UUID | None = None
    segment_ids: Segments | None = None
    exclude_segment_ids: Segments | None = None
    scheduled_at: Instant | None = None
    timezone: TimeZone | None = None
    recurring_schedule: Json | None = None
    settings: Json | None = None
    ab_test_config: Json | None = None
    throttle_config: ThrottleConfig | None = None


class CampaignSchedule(Body):
    """The body of the schedule verb."""

    scheduled_at: Instant
    timezone: TimeZone | None = None


class Explanation(Body):
    """The body of start, pause, resume, cancel and delete: nothing, or why (in the events and in `statusReason`)."""

    reason: Reason | None = None


class AnyChannelSettings(Body):
    """`maxLateness`: a scheduled campaign that starts later than this is cancelled instead."""

    max_lateness: Duration | None = None
    track_clicks: Switch | None = None


class EmailSettings(AnyChannelSettings):
    """Who an email comes from, and what is counted."""

    from_name: Label | None = None
    from_email: Address | None = None
    reply_to: Address | None = None
    track_opens: Switch | None = None


class TextSettings(AnyChannelSettings):
    """SMS and WhatsApp: `fromName` is the sender's number or alphanumeric id."""

    from_name: Label | None = None


_SETTINGS: Mapping[str, type[AnyChannelSettings]] = {
    "email": EmailSettings,
    "sms": TextSettings,
    "whatsapp": TextSettings,
    "push": AnyChannelSettings,
}
B = TypeVar("B", bound=BaseModel)


def validated(model: type[B], data: object, extra: Extra, within: str = "") -> B:
    """`data` as a `model`. Raises CampaignError that names each field (under `within`), its rule and limit."""
    try:
        return model.model_validate(data, extra=extra)
    except ValidationError as error:
        raise broken(
            *(FieldError(_path(within, *item["loc"]), sentence(item["msg"])) for item in error.errors(include_url=False))
        ) from error


def checked_settings(channel: str, settings: Mapping[str, Any], extra: Extra) -> dict[str, Any]:
    """The settings as they are stored: what this channel knows, nulls left out. Raises CampaignError."""
    return validated(_SETTINGS[channel], settings, extra, "settings").model_dump(mode="json", by_alias=True, exclude_none=True)


def broken(*errors: FieldError) -> CampaignError:
    """One refusal that lists every broken rule."""
    return CampaignError("; ".join(f"{error.field}: {error.message}" for error in errors), errors=errors)


def _path(*parts: object) -> str:
    return ".".join(str(part) for part in parts if part != "")


def sentence(message: str) -> str:
    """A message of pydantic without its "Value error, ", which says nothing."""
    return message.removeprefix("Value error, ")
