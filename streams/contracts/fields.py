"""The fields that bodies are made of: one type per kind of value, with its rule. A value that
breaks its rule is a ValueError, and pydantic names the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from streams.contracts.values.local_time import resolved
from streams.contracts.values.one_line import composed, one_line
from streams.contracts.values.zones import zone_names

Extra = Literal["forbid", "ignore"]
Channel = Literal["email", "sms", "whatsapp", "push"]


class CampaignType(StrEnum):
    """The type of a campaign: sent once, at recurring times, or to each contact that is
    triggered.
    """

    ONE_TIME = "one_time"
    RECURRING = "recurring"
    TRIGGERED = "triggered"


class Status(StrEnum):
    """The states of a campaign (specification, section 3)."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


#: A campaign whose messages may still go out.
ACTIVE = (Status.RUNNING, Status.PAUSED)
MIN_PER_HOUR = 100  # specification, section 9: slower campaigns would look stalled
MAX_INTEGER = 2**31 - 1  # of PostgreSQL's type `integer`
_MAX_SEGMENTS = 1000
_MAX_DEPTH = 10
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?"
    r"\s*(?:[Zz]|[+\-\u2212](?P<hours>\d{2})(?P<minutes>:?\d{2})?)?(?P<rest>.*)",
    re.ASCII | re.DOTALL,
)


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL")
    return value


def _composed(value: object) -> object:
    return composed(value) if isinstance(value, str) else value


def _time(value: object) -> object:
    # pydantic would take a number, also one in a text, as Unix seconds, and a date as its midnight
    if isinstance(value, datetime):
        return value
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            "must be an RFC 3339 time such as 2026-01-28T09:00:00Z, "
            "or a local one such as 2026-01-28T09:00:00"
        )
    rest = match["rest"].strip()
    if rest.startswith("["):
        raise ValueError(
            "must not have a zone in brackets (RFC 9557): give an offset such as +01:00 or Z, "
            "or a local time without one, which is read in `timezone`"
        )
    if rest:
        raise ValueError(
            "must end with its time or an offset such as +01:00 or Z: "
            "what stands behind that is not read"
        )
    # the hours alone are how PostgreSQL prints an offset
    return f"{value}:00" if match["hours"] and not match["minutes"] else value


def _utc_or_local(value: datetime) -> datetime:
    return value if value.tzinfo is None else resolved(value, "UTC")


def _time_zone(value: str) -> str:
    if value not in zone_names():
        raise ValueError("must be an IANA time zone such as America/New_York")
    return value


def _address(value: str) -> str:
    try:
        found = validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError("must be an email address") from error
    # as contacts': servers without RFC 6531 take a domain in ASCII only; a local part that is not
    # ASCII needs such a server anyway
    return found.ascii_email or found.normalized


def mailable(stored: str) -> str:
    """The spelling of `Address` for an address of a setting that may be older than that spelling;
    a text that is no address stays as it is.
    """
    try:
        return stored if stored.isascii() else _address(stored)
    except ValueError:
        return stored


def _duration(value: str) -> str:
    try:
        is_right = value.startswith("P") and TypeAdapter(timedelta).validate_python(
            value
        ) > timedelta(0)
    except ValidationError:
        is_right = False
    if not is_right:
        raise ValueError("must be a positive ISO 8601 duration such as P1D")
    return value


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:  # serialising hundreds of levels raises
        raise ValueError(f"must not be nested more than {_MAX_DEPTH} levels deep")
    return value


def _inside(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _distinct(values: list[UUID]) -> list[UUID]:
    return list(dict.fromkeys(values))


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(one_line),
    BeforeValidator(_composed),  # before its length is measured
]
Description = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_text)]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(one_line),
]
_LOCAL_TIME = "^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,6})?)?$"
_TIMES = {
    "description": "with an offset; without one it is a local time in `timezone` "
    "(in a gap of clocks its end, of two the earlier)",
    "type": "string",
    "anyOf": [{"format": "date-time"}, {"pattern": _LOCAL_TIME}],
}
Time = Annotated[
    datetime, BeforeValidator(_time), AfterValidator(_utc_or_local), WithJsonSchema(_TIMES)
]
Moment = Annotated[AwareDatetime, BeforeValidator(_time)]  # with an offset, always
TimeZone = Annotated[
    str, StringConstraints(min_length=1, max_length=50), AfterValidator(_time_zone)
]
Label = Annotated[str, StringConstraints(max_length=255), AfterValidator(one_line)]
Address = Annotated[str, StringConstraints(max_length=320), AfterValidator(_address)]
Duration = Annotated[str, StringConstraints(max_length=50), AfterValidator(_duration)]
Switch = Annotated[bool, Field(strict=True)]
Limit = Annotated[int, Field(strict=True, ge=MIN_PER_HOUR, le=MAX_INTEGER)]
Json = Annotated[dict[str, Any], AfterValidator(_shallow)]
Segments = Annotated[list[UUID], Field(max_length=_MAX_SEGMENTS), AfterValidator(_distinct)]


class References(NamedTuple):
    """Ids of the directory that a body names."""

    segments: tuple[UUID, ...] = ()
    templates: tuple[UUID, ...] = ()
    contacts: tuple[UUID, ...] = ()


class Body(BaseModel):
    """camelCase on the wire; a wrong value is never repeated in an error."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    @property
    def references(self) -> References:
        """None, except for the bodies that hold ids of the directory."""
        return References()
