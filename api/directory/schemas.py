"""Bodies and answers of the routes of templates, segments and suppressions, with the examples of
the API's documentation.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, RootModel, StringConstraints

from api.directory.contact_schemas import CONTACT_ID, MOST_ROWS, Rejected, Text
from api.http.envelope import Instant, Schema, shown_as
from streams.contracts.fields import Body, Channel, Name
from streams.contracts.values.one_line import one_line

MOST_MEMBERS = 10_000
_AT = "2026-01-28T08:55:12.204Z"
_TEMPLATE = {
    "name": "January",
    "channel": "email",
    "content": {
        "subject": "January at Acme",
        "html": "<p>Hello {{ firstName | default('there') }}, this is our news.</p>",
    },
}
Content = Annotated[
    dict[str, Any],
    Field(
        description="email {subject, html, text}; sms, whatsapp {text}; push {title, body, link}"
    ),
]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(one_line),
]


class TemplateCreate(Body):
    """The content of messages on one channel."""

    model_config = shown_as(_TEMPLATE)

    name: Name
    channel: Channel
    content: Content


class TemplateUpdate(Body):
    """Only the given members change; `content` is replaced as a whole. The channel stays."""

    model_config = shown_as({"name": "January, corrected"})

    name: Name | None = None
    content: Content | None = None


class Template(Schema):
    """The content of messages on one channel. `hints` are the cost of one: of an SMS encoding,
    units, segments, unitsLeft. Not `isExact`: without its variables. `warnings` name what is
    probably not meant, such as placeholders of other systems.
    """

    model_config = shown_as(
        {
            "id": "550e8400-e29b-41d4-a716-446655440001",
            **_TEMPLATE,
            "createdAt": _AT,
            "updatedAt": _AT,
            "hints": {"bytes": 32, "limit": 102000, "isExact": False},
            "warnings": [],
        }
    )

    id: UUID
    name: str
    channel: str
    content: dict[str, str]
    created_at: Instant
    updated_at: Instant
    hints: dict[str, str | int | bool]
    warnings: list[str] = Field(default_factory=list)


class ListedTemplate(Schema):
    """A template in a list, without its content. `hints` and `warnings` are null until they have
    been found: of a template that was written by an earlier version, at its first reading.
    """

    model_config = shown_as(
        {
            "id": "550e8400-e29b-41d4-a716-446655440001",
            "name": _TEMPLATE["name"],
            "channel": _TEMPLATE["channel"],
            "createdAt": _AT,
            "updatedAt": _AT,
            "hints": {"bytes": 32, "limit": 102000, "isExact": False},
            "warnings": [],
        }
    )

    id: UUID
    name: str
    channel: str
    created_at: Instant
    updated_at: Instant
    hints: dict[str, str | int | bool] | None
    warnings: list[str] | None


class SegmentName(Body):
    """A name that no other segment of the tenant has."""

    model_config = shown_as({"name": "Active subscribers"})

    name: Name


EMPTY_SEGMENT = {
    "id": "550e8400-e29b-41d4-a716-446655440002",
    "name": "Active subscribers",
    "createdAt": _AT,
    "memberCount": 0,
}


class Segment(Schema):
    """A named set of contacts."""

    model_config = shown_as({**EMPTY_SEGMENT, "memberCount": 10000})

    id: UUID
    name: str
    created_at: Instant
    member_count: int


class Members(Body):
    """Contacts of the tenant."""

    model_config = shown_as({"contactIds": [CONTACT_ID]})

    contact_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_MEMBERS)]


class Added(Schema):
    """How many contacts were not in the segment before."""

    model_config = shown_as({"added": 1})

    added: int


class Removed(Schema):
    """How many contacts were in the segment before."""

    model_config = shown_as({"removed": 1})

    removed: int


_SUPPRESS = {"channel": "email", "address": "bob@example.com", "reason": "asked by phone"}


class SuppressionWrite(Body):
    """Exactly one of `address` and `contactId`."""

    model_config = shown_as(_SUPPRESS)

    channel: Channel
    address: Text | None = None
    contact_id: UUID | None = None
    reason: Reason = "manual"


class SuppressionRows(RootModel[list[dict[str, Any]]]):
    """Suppressions; each is checked on its own."""

    model_config = shown_as([_SUPPRESS])

    root: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_ROWS)]


class Suppression(Schema):
    """Nothing more goes to this contact, or to this address, on this channel. Exactly one of
    `contactId`, `address` and `addressHash` is set; the hash is of an address that its contact has
    no longer, and beside it stands the `address` by which a list was asked for it.
    """

    model_config = shown_as(
        {
            "id": "550e8400-e29b-41d4-a716-446655440030",
            **_SUPPRESS,
            "createdAt": _AT,
            "contactId": None,
            "addressHash": None,
        }
    )

    id: UUID
    channel: str
    reason: str
    created_at: Instant
    contact_id: UUID | None
    address: str | None
    address_hash: str | None


class Suppressed(Schema):
    """`rejects` are the first 100 rows that were refused."""

    model_config = shown_as({"added": 1, "existing": 0, "rejected": 0, "rejects": []})

    added: int
    existing: int
    rejected: int
    rejects: list[Rejected]


class SuppressedFile(Suppressed):
    """Rows = added + existing + rejected + blank."""

    model_config = shown_as({"added": 1, "existing": 0, "rejected": 0, "rejects": [], "blank": 0})

    blank: int
