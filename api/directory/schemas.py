"""The bodies of the directory's routes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from streams.contracts.fields import Body, Channel, Json, Limit, Name, Time, one_line

MOST_MEMBERS = 10_000
MOST_ROWS = 1_000  # of a JSON array; a file may have any number
_LONGEST_GRACE = timedelta(days=30)


def _future(value: datetime) -> datetime:
    if value.tzinfo is None or value <= datetime.now(UTC):
        raise ValueError("must be in the future, with an offset, such as 2030-01-28T09:00:00Z")
    return value


def _duration(value: object) -> object:
    if not isinstance(value, str | timedelta):
        raise ValueError(
            "must be an ISO 8601 duration such as PT1H"
        )  # pydantic would take a number as seconds
    return value


def _grace(value: timedelta) -> timedelta:
    if not timedelta(0) <= value <= _LONGEST_GRACE:
        raise ValueError("must be a duration from PT0S to P30D")
    return value


Content = Annotated[
    dict[str, Any],
    Field(
        description="email {subject, html, text}; sms, whatsapp {text}; push {title, body, link}"
    ),
]
Text = Annotated[
    str, StringConstraints(max_length=512)
]  # its own rule is in tables/contacts/fields.py
ContactIds = Annotated[list[UUID], Field(min_length=1, max_length=MOST_MEMBERS)]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(one_line),
]
Role = Literal["viewer", "editor", "sender", "admin"]


class TemplateCreate(Body):
    """What is sent on one channel."""

    name: Name
    channel: Channel
    content: Content


class TemplateUpdate(Body):
    """What is given replaces what was there; `content` as a whole. The channel stays."""

    name: Name | None = None
    content: Content | None = None


class SegmentName(Body):
    """A name that no other segment of the tenant has."""

    name: Name


class Members(Body):
    """Contacts of the tenant."""

    contact_ids: ContactIds


class ContactUpdate(Body):
    """Only what is given changes; null empties a field. `attributes` are merged, and null removes
    one (RFC 7396).
    """

    external_id: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    push_token: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    time_zone: Text | None = None
    locale: Text | None = None
    attributes: Json | None = None


class ContactWrite(ContactUpdate):
    """A contact, found by `id`, `externalId` or address, in that order; a field that is absent or
    null stays as it is.
    """

    id: UUID | None = None


class SuppressionWrite(Body):
    """Exactly one of `address` and `contactId`."""

    channel: Channel
    address: Text | None = None
    contact_id: UUID | None = None
    reason: Reason = "manual"


class LimitsUpdate(Body):
    """At most so many messages of the tenant in any sliding hour and day; null = no limit, absent =
    as it was.
    """

    messages_per_hour: Limit | None = None
    messages_per_day: Limit | None = None


class KeyCreate(Body):
    """`userId`: who is `createdBy` of what the key creates; a new user when it is absent."""

    role: Role
    name: (
        Annotated[
            str,
            StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
            AfterValidator(one_line),
        ]
        | None
    ) = None
    expires_at: Annotated[Time, AfterValidator(_future)] | None = None
    user_id: UUID | None = None


class KeyRotate(Body):
    """How long the old secret is still good, as an ISO 8601 duration."""

    grace_period: Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_grace)] = (
        timedelta(days=1)
    )
