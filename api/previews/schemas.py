"""Bodies and answers of the routes of previews, with the examples of the API's documentation."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from api.campaigns.schemas import CAMPAIGN_ID
from api.directory.contact_schemas import CONTACT_ID, ContactUpdate
from api.http.envelope import Schema, shown_as
from streams.contracts.fields import Body, Channel, Segments
from tables.directory.examples import EXCLUDED, SEGMENT

_MESSAGE_ID = "00000000-0000-8a3f-81c5-5b1f0d6e9a27"
_UNSUBSCRIBE = "https://campaigns.example.com/u/AAAAAAAAo_HFTkqz7cVw1u0p"
_Address = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class PreviewOf(Body):
    """Exactly one of both: the id of a contact of the tenant, or the fields of an invented one."""

    model_config = shown_as(
        {
            "contact": {
                "firstName": "Ana",
                "email": "ana@example.com",
                "attributes": {"plan": "pro"},
            }
        }
    )

    contact_id: UUID | None = None
    contact: ContactUpdate | None = None


class VariantPreview(Schema):
    """The message of a variant; `variantId` is null without a test. `hints` are its cost: of an SMS
    encoding, units, segments, unitsLeft.
    """

    variant_id: str | None
    content: dict[str, str]
    sender: dict[str, str] | None = Field(alias="from")
    headers: dict[str, str] | None
    options: dict[str, Any] | None
    hints: dict[str, str | int | bool]


class Preview(Schema):
    """`to`: the contact's address, null without one. `contactId` is null for sample data."""

    model_config = shown_as(
        {
            "campaignId": CAMPAIGN_ID,
            "contactId": None,
            "channel": "email",
            "to": "ana@example.com",
            "variants": [
                {
                    "variantId": None,
                    "content": {
                        "subject": "January at Acme",
                        "html": "<p>Hello Ana, this is our news.</p>",
                    },
                    "from": {
                        "name": "Acme Corp",
                        "email": "newsletter@acme.com",
                        "replyTo": "support@acme.com",
                    },
                    "headers": {
                        "List-Unsubscribe": f"<{_UNSUBSCRIBE}>",
                        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                    },
                    "options": None,
                    "hints": {"bytes": 153, "limit": 102000},
                }
            ],
        }
    )

    campaign_id: UUID
    contact_id: UUID | None
    channel: str
    to: str | None
    variants: list[VariantPreview]


class AudienceOf(Body):
    """An audience that no campaign has yet."""

    model_config = shown_as(
        {"channel": "email", "segmentIds": [str(SEGMENT)], "excludeSegmentIds": [str(EXCLUDED)]}
    )

    channel: Channel
    segment_ids: Annotated[Segments, Field(min_length=1)]
    exclude_segment_ids: Segments = Field(default_factory=list)


#: Of the examples: contacts in the segments that get nothing, by reason.
LEFT_OUT = {
    "excluded-segment": 120,
    "suppressed": 40,
    "no-address": 30,
    "duplicate-address": 10,
}


class SmsSegments(Schema):
    """Segments of SMS: on average per message, of `sampled` contacts, and for all of them."""

    per_message: float
    total: int
    sampled: int


class AudienceCount(Schema):
    """`inSegments` = `total` + all that `excluded` counts. `segments` is null for other channels,
    and when no text can be rendered.
    """

    model_config = shown_as(
        {
            "total": 9800,
            "inSegments": 10000,
            "excluded": LEFT_OUT,
            "limit": 1000000,
            "isOverLimit": False,
            "segments": None,
        }
    )

    total: int
    in_segments: int
    excluded: dict[str, int]
    limit: int
    is_over_limit: bool
    segments: SmsSegments | None


class TestSend(Body):
    """At most one of `contactId` and `contact`; with neither, a contact of the audience, else
    sample data.
    """

    model_config = shown_as({"addresses": ["me@example.com"]})

    addresses: Annotated[list[_Address], Field(min_length=1, max_length=10)]
    contact_id: UUID | None = None
    contact: ContactUpdate | None = None
    variant_id: Annotated[str, StringConstraints(max_length=50)] | None = None


class TestMessage(Schema):
    """A message on its way to one of the addresses."""

    message_id: str
    to: str
    variant_id: str | None


class TestSent(Schema):
    """The messages are on their way; `contactId` is the contact that they are rendered for, null
    for sample data.
    """

    model_config = shown_as(
        {
            "campaignId": CAMPAIGN_ID,
            "contactId": CONTACT_ID,
            "messages": [{"messageId": _MESSAGE_ID, "to": "me@example.com", "variantId": None}],
        }
    )

    campaign_id: UUID
    contact_id: UUID | None
    messages: list[TestMessage]
