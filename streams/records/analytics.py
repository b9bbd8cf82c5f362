"""Performance facts, the public records of `campaigns.performance.v1`: how a campaign, or one of
its variants, stood at an instant.

Counts are absolute, so a reader replaces and never adds; a higher `revision` is newer. Each is
written in the transaction of the row of `campaign_stats` that holds the same numbers, one for the
campaign (without `variantId`) and one for each variant.
"""

from __future__ import annotations

from uuid import UUID, uuid5

import msgspec

from streams.contracts.envelope import Envelope, Record, encode

TYPE = "campaign.performance"
_IDS = UUID(
    "0f3f8b52-7a9c-5e0d-9d5b-6c1f0a4f7e21"
)  # namespace of record ids (RFC 9562, section 5.5)


class Performance(Record, frozen=True, omit_defaults=False):
    """Counts and rates are those of `GET /campaigns/{campaignId}/stats`. `at`: when the newest
    counted event was reported.

    `is_complete`: the campaign is completed and every message is counted; recipients may still act.
    `is_winner` is there once a winner is known, on variants. `parent_id` names the series that the
    campaign belongs to; the series' own records hold the sum.
    """

    campaign_id: str
    campaign_name: str
    channel: str
    type: str
    status: str
    at: str
    revision: int
    is_complete: bool
    total_recipients: int
    sent_count: int
    delivered_count: int
    opened_count: int
    clicked_count: int
    bounced_count: int
    unsubscribed_count: int
    complaint_count: int
    failed_count: int
    replied_count: int
    machine_opened_count: int
    machine_clicked_count: int
    skipped_count: int
    open_rate: float
    click_rate: float
    bounce_rate: float
    accepted_count: int = 0
    parent_id: str | msgspec.UnsetType = msgspec.UNSET
    variant_id: str | msgspec.UnsetType = msgspec.UNSET
    is_winner: bool | msgspec.UnsetType = msgspec.UNSET


def record_id(campaign_id: UUID, revision: int, variant_id: str | None) -> UUID:
    """The same however often the record is published."""
    return uuid5(_IDS, f"{campaign_id}:{revision}:{variant_id or ''}")


def enveloped(fact: Performance, tenant_id: str, correlation_id: str, at: str) -> bytes:
    """The record's value; `at` is when it was calculated."""
    builtins = msgspec.to_builtins(fact)
    return encode(
        Envelope(
            tenant_id=tenant_id,
            correlation_id=correlation_id,
            timestamp=at,
            data=builtins,
            type=TYPE,
        )
    )
