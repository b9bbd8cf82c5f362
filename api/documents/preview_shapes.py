"""What the answers about a message before it is sent look like."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.contracts.envelope import Record


class VariantPreview(Record, frozen=True):
    """What is sent under a variant, null = without a test. `hints` say what it costs: of an SMS
    encoding, units, segments, unitsLeft.
    """

    variant_id: str | None
    content: dict[str, str]
    sender: dict[str, str] | None = msgspec.field(name="from")
    headers: dict[str, str] | None
    options: dict[str, Any] | None
    hints: dict[str, Any]


class Preview(Record, frozen=True):
    """`to`: the contact's address, null without one. `contactId` is null for sample data."""

    campaign_id: str
    contact_id: str | None
    channel: str
    to: str | None
    variants: list[VariantPreview]


class Segments(Record, frozen=True):
    """Of SMS: on average per message, of `sampled` contacts, and for all of them."""

    per_message: float
    total: int
    sampled: int


class AudienceCount(Record, frozen=True):
    """`inSegments` = `total` + everybody in `excluded`. `segments` is null for other channels, and
    when nobody's text can be rendered.
    """

    total: int
    in_segments: int
    excluded: dict[str, int]
    limit: int
    is_over_limit: bool
    segments: Segments | None


class TestMessage(Record, frozen=True):
    message_id: str
    to: str
    variant_id: str | None


class TestSent(Record, frozen=True):
    """On their way; `contactId` is whom they are rendered for, null for sample data."""

    campaign_id: str
    contact_id: str | None
    messages: list[TestMessage]
