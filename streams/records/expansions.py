"""Internal records of the expansion, `campaigns.expansions.v1`: stage an audience, then write it
page by page.
"""

from __future__ import annotations

import msgspec

from streams.contracts.envelope import Record


class Stage(Record, frozen=True, tag="stage", tag_field="type"):
    """Written by the outbox when a campaign starts."""

    tenant_id: str
    campaign_id: str
    number: int
    correlation_id: str


class Page(Record, frozen=True, tag="page", tag_field="type"):
    """Write recipients [start, start + page size) from the stage; `expand` sends it to itself."""

    tenant_id: str
    campaign_id: str
    number: int
    total: int
    start: int


decode_expansion = msgspec.json.Decoder(Stage | Page).decode
