"""Bodies and answers of the routes of contacts, with the examples of the API's documentation."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, RootModel, StringConstraints

from api.http.envelope import Instant, Schema, shown_as
from streams.contracts.fields import Body, Json

MOST_ROWS = 1_000  # of a JSON array; a file may have any number
_AT = "2026-01-28T08:55:12.204Z"
CONTACT_ID = "550e8400-e29b-41d4-a716-446655440010"
_WRITTEN = {
    "externalId": "1001",
    "email": "ana@example.com",
    "firstName": "Ana",
    "timeZone": "Europe/Berlin",
    "attributes": {"plan": "pro"},
}
# A text's own rule is in tables/contacts/fields.py.
Text = Annotated[str, StringConstraints(max_length=512)]


class ContactUpdate(Body):
    """Only what is given changes; null empties a field. `attributes` are merged, and null removes
    one (RFC 7396).
    """

    model_config = shown_as({"firstName": "Anna", "attributes": {"plan": None}})

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

    model_config = shown_as(_WRITTEN)

    id: UUID | None = None


class ContactRows(RootModel[list[dict[str, Any]]]):
    """Contacts as a row of a file spells them; each is checked on its own."""

    model_config = shown_as([_WRITTEN])

    root: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_ROWS)]


class Contact(Schema):
    """A person whom the tenant can write to."""

    model_config = shown_as(
        {
            "id": CONTACT_ID,
            "createdAt": _AT,
            "updatedAt": _AT,
            **_WRITTEN,
            "phone": None,
            "pushToken": None,
            "lastName": None,
            "locale": None,
        }
    )

    id: UUID
    created_at: Instant
    updated_at: Instant
    attributes: dict[str, Any]
    external_id: str | None
    email: str | None
    phone: str | None
    push_token: str | None
    first_name: str | None
    last_name: str | None
    time_zone: str | None
    locale: str | None


class Rejected(Schema):
    """A row that did not go in: its line, or its place in the array from 1, and why."""

    model_config = shown_as({"line": 17, "reason": "email: not a valid address"})

    line: int
    reason: str


ONE_IMPORTED: dict[str, Any] = {
    "imported": 1,
    "updated": 0,
    "rejected": 0,
    "segmentId": None,
    "rejects": [],
}


class Imported(Schema):
    """`rejects` are the first 100 rows that did not go in."""

    model_config = shown_as(
        {
            "imported": 9998,
            "updated": 1,
            "rejected": 1,
            "segmentId": "550e8400-e29b-41d4-a716-446655440002",
            "rejects": [{"line": 17, "reason": "email: not a valid address"}],
        }
    )

    imported: int
    updated: int
    rejected: int
    segment_id: UUID | None
    rejects: list[Rejected]
