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


class Warned(Schema):
    """A field that was left out of a row that did go in: the column as the file or the array names
    it, and why.
    """

    model_config = shown_as(
        {
            "line": 18,
            "column": "Time Zone",
            "reason": "timeZone: not a name of the time zone database, such as Europe/Berlin",
        }
    )

    line: int
    column: str | None
    reason: str


class ColumnUse(Schema):
    """The use of a column of a file: `field` is a field of contacts, `attributes.NAME`, or null
    (ignored); `standsInFor` is the field that it is taken for where the field's own column is
    empty.
    """

    model_config = shown_as(
        {"column": "Phone Number", "field": "attributes.Phone Number", "standsInFor": "phone"}
    )

    column: str
    field: str | None
    stands_in_for: str | None


ONE_IMPORTED: dict[str, Any] = {
    "imported": 1,
    "updated": 0,
    "rejected": 0,
    "segmentId": None,
    "rejects": [],
    "blank": 0,
    "warned": 0,
    "warnings": [],
    "columns": [],
    "notes": [],
}


class Imported(Schema):
    """Rows = imported + updated + rejected + blank. `rejects` are the first 100 rows that did not
    go in, `warnings` the first 100 of the `warned` fields that were left out of rows that did.
    `columns` and `notes` say how a CSV's header was understood.
    """

    model_config = shown_as(
        {
            "imported": 9998,
            "updated": 1,
            "rejected": 1,
            "segmentId": "550e8400-e29b-41d4-a716-446655440002",
            "rejects": [{"line": 17, "reason": "email: not a valid address"}],
            "blank": 0,
            "warned": 1,
            "warnings": [
                {
                    "line": 18,
                    "column": "Mobile",
                    "reason": "phone: not a number with a country code, such as +49 30 123456",
                }
            ],
            "columns": [
                {"column": "Email Address", "field": "email", "standsInFor": None},
                {"column": "Mobile", "field": "phone", "standsInFor": None},
                {"column": "Plan", "field": "attributes.Plan", "standsInFor": None},
            ],
            "notes": [],
        }
    )

    imported: int
    updated: int
    rejected: int
    segment_id: UUID | None
    rejects: list[Rejected]
    blank: int
    warned: int
    warnings: list[Warned]
    columns: list[ColumnUse]
    notes: list[str]
