"""Answers of the routes of a campaign's figures, with the examples of the API's documentation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from api.campaigns.schemas import CAMPAIGN_ID, CONTACT_IDS, ShownCampaign
from api.http.envelope import Envelope, Instant, PageMeta, Schema, shown_as, sometimes


class VariantStats(Schema):
    """Counts of one variant of an A/B test; only the winner has `isWinner`."""

    variant_id: str
    open_rate: float
    click_rate: float
    is_winner: bool | None = sometimes()
    name: str
    bounce_rate: float
    sent_count: int
    delivered_count: int
    opened_count: int
    clicked_count: int
    bounced_count: int
    unsubscribed_count: int
    complaint_count: int


# The rates are those of the specification, section 4; the counts stand beside them.
VARIANTS: tuple[dict[str, Any], ...] = (
    {
        "variantId": "A",
        "openRate": 32.5,
        "clickRate": 8.2,
        "name": "Short Subject",
        "bounceRate": 2.44,
        "sentCount": 1025,
        "deliveredCount": 1000,
        "openedCount": 325,
        "clickedCount": 82,
        "bouncedCount": 25,
        "unsubscribedCount": 2,
        "complaintCount": 0,
    },
    {
        "variantId": "B",
        "openRate": 35.1,
        "clickRate": 9.8,
        "isWinner": True,
        "name": "Long Subject",
        "bounceRate": 1.96,
        "sentCount": 1020,
        "deliveredCount": 1000,
        "openedCount": 351,
        "clickedCount": 98,
        "bouncedCount": 20,
        "unsubscribedCount": 1,
        "complaintCount": 0,
    },
)


class Stats(Schema):
    """Unique counts. Rates are percent: opens and clicks of the delivered, bounces of the sent.
    `acceptedCount` has the messages that a provider has said it took. `skipped` is by reason.
    """

    model_config = shown_as(
        {
            "campaignId": CAMPAIGN_ID,
            "totalRecipients": 10000,
            "sentCount": 9800,
            "deliveredCount": 9500,
            "openedCount": 3200,
            "clickedCount": 850,
            "bouncedCount": 200,
            "unsubscribedCount": 15,
            "complaintCount": 2,
            "openRate": 33.68,
            "clickRate": 8.95,
            "bounceRate": 2.04,
            "variants": list(VARIANTS),
            "acceptedCount": 9720,
            "failedCount": 0,
            "repliedCount": 3,
            "machineOpenedCount": 410,
            "machineClickedCount": 12,
            "skippedCount": 0,
            "skipped": {},
            "updatedAt": "2026-01-28T09:14:03.120Z",
        }
    )

    campaign_id: UUID
    total_recipients: int
    sent_count: int
    delivered_count: int
    opened_count: int
    clicked_count: int
    bounced_count: int
    unsubscribed_count: int
    complaint_count: int
    open_rate: float
    click_rate: float
    bounce_rate: float
    variants: list[VariantStats]
    accepted_count: int
    failed_count: int
    replied_count: int
    machine_opened_count: int
    machine_clicked_count: int
    skipped_count: int
    skipped: dict[str, int]
    updated_at: str | None = Field(json_schema_extra={"format": "date-time"})


class Recipient(Schema):
    """A row of the ledger. A skipped recipient is `failed`, with the reason `skipped:<why>` and
    without `sentAt`.
    """

    model_config = shown_as(
        {
            "id": "00000000-002a-8000-84d2-000000000000",
            "recipientNumber": 1234,
            "contactId": CONTACT_IDS[0],
            "status": "opened",
            "variantId": None,
            "sentAt": "2026-01-28T09:00:02.000Z",
            "deliveredAt": "2026-01-28T09:00:04.000Z",
            "openedAt": "2026-01-28T09:12:40.000Z",
            "clickedAt": None,
            "failedAt": None,
            "failureReason": None,
            "messageId": "00000000-002a-8000-84d2-9f31c05be7a4",
            "unsubscribedAt": None,
            "complainedAt": None,
            "acceptedAt": "2026-01-28T09:00:03.000Z",
        }
    )

    id: UUID
    recipient_number: int
    contact_id: UUID
    status: str
    variant_id: str | None
    sent_at: Instant | None
    delivered_at: Instant | None
    opened_at: Instant | None
    clicked_at: Instant | None
    failed_at: Instant | None
    failure_reason: str | None
    message_id: UUID | None
    unsubscribed_at: Instant | None
    complained_at: Instant | None
    accepted_at: Instant | None


class LedgerMeta(PageMeta):
    """The ledger is read by page number or, when it is long, by cursor."""

    model_config = shown_as(
        {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1, "nextCursor": None}
    )

    next_cursor: str | None


class Ledger(Envelope):
    """A part of the ledger."""

    data: list[Recipient]
    meta: LedgerMeta


class CampaignWithStats(ShownCampaign):
    """A campaign as event streams show it."""

    stats: Stats


class Totals(Schema):
    """Sums over the campaigns of an overview; `rate` is messages per second."""

    sent_count: int
    delivered_count: int
    opened_count: int
    clicked_count: int
    rate: int


class Overview(Schema):
    """The newest campaigns of a tenant."""

    campaigns: list[CampaignWithStats]
    totals: Totals
