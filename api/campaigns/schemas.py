"""Answers of the routes of campaigns, with the examples of the API's documentation. Pasted into a
stack that runs the demo, the bodies work: it has the template and the segments.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from api.http.envelope import Envelope, Instant, PageMeta, Schema, shown_as, sometimes
from streams.contracts.fields import Channel, Status
from streams.contracts.waiting import WaitingReason
from tables.directory.examples import EXCLUDED, SEGMENT, TEMPLATE

CAMPAIGN_ID = "550e8400-e29b-41d4-a716-446655440000"
_AT = "2026-01-28T08:55:12.204Z"
CREATE = {
    "name": "January Newsletter",
    "description": "Monthly newsletter for active subscribers",
    "channel": "email",
    "type": "one_time",
    "templateId": str(TEMPLATE),
    "segmentIds": [str(SEGMENT)],
    "excludeSegmentIds": [str(EXCLUDED)],
    "scheduledAt": "2026-01-28T09:00:00Z",
    "timezone": "America/New_York",
    "settings": {
        "fromName": "Acme Corp",
        "fromEmail": "newsletter@acme.com",
        "replyTo": "support@acme.com",
        "trackOpens": True,
        "trackClicks": True,
    },
    "throttleConfig": {"messagesPerHour": 10000, "messagesPerDay": 100000},
}
UPDATE = {"name": "January Newsletter, corrected", "throttleConfig": {"messagesPerHour": 20000}}
REASON = {"reason": "the price in the subject is wrong"}
SCHEDULE = {"scheduledAt": "2036-01-28T09:00:00", "timezone": "America/New_York"}
CONTACT_IDS = ["550e8400-e29b-41d4-a716-446655440010", "550e8400-e29b-41d4-a716-446655440011"]
TRIGGER = {"contactIds": CONTACT_IDS}
DRAFT = {
    "id": CAMPAIGN_ID,
    "tenantId": "acme",
    **CREATE,
    "scheduledAt": "2026-01-28T09:00:00.000Z",
    "status": "draft",
    "recurringSchedule": None,
    "abTestConfig": None,
    "startedAt": None,
    "completedAt": None,
    "createdBy": "550e8400-e29b-41d4-a716-446655440004",
    "createdAt": _AT,
    "updatedAt": _AT,
    "deletedAt": None,
    "version": 1,
    "parentId": None,
    "totalRecipients": None,
    "sentCount": None,
    "skippedCount": None,
    "sampleSentAt": None,
    "statusReason": None,
    "abTestUntil": None,
    "winnerVariantId": None,
}
RUNNING = {**DRAFT, "status": "running", "version": 2, "startedAt": "2026-01-28T09:00:00.417Z"}
SCHEDULED = {
    **DRAFT,
    "status": "scheduled",
    "version": 2,
    "scheduledAt": "2036-01-28T14:00:00.000Z",
}


class Campaign(Schema):
    """A campaign; `version` grows with every change and is the ETag."""

    model_config = shown_as(DRAFT)

    id: UUID
    tenant_id: str
    name: str
    description: str | None
    channel: Channel
    status: Status
    type: str
    template_id: UUID | None
    segment_ids: list[UUID]
    exclude_segment_ids: list[UUID]
    scheduled_at: Instant | None
    timezone: str | None
    recurring_schedule: dict[str, Any] | None
    settings: dict[str, Any]
    ab_test_config: dict[str, Any] | None
    throttle_config: dict[str, int] | None
    started_at: Instant | None
    completed_at: Instant | None
    created_by: UUID
    created_at: Instant
    updated_at: Instant
    deleted_at: Instant | None
    version: int
    parent_id: UUID | None
    total_recipients: int | None
    sent_count: int | None
    skipped_count: int | None
    sample_sent_at: Instant | None
    status_reason: str | None
    ab_test_until: Instant | None
    winner_variant_id: str | None


PAUSED = {
    **RUNNING,
    "status": "paused",
    "version": 3,
    "statusReason": REASON["reason"],
    "inFlight": 5000,
}
CANCELLED = {**PAUSED, "status": "cancelled", "version": 4, "inFlight": 0}


class StoppedCampaign(Campaign):
    """`inFlight`: how many messages still go out; null while that has not been read from Kafka."""

    model_config = shown_as(PAUSED)

    in_flight: int | None


class Waiting(Schema):
    """Why the campaign does not move, and until when, if that is known."""

    reason: WaitingReason
    until: Instant | None


class Progress(Schema):
    """Live: messages `sent`, recipients `skipped`, granted and not yet sent, and left; `rate` per
    second; `eta` is null without one.
    """

    sent: int
    skipped: int
    in_flight: int
    remaining: int
    rate: float
    eta: Instant | None


SHOWN = {
    **RUNNING,
    "totalRecipients": 10000,
    "waiting": {"reason": "quota", "until": "2026-01-28T10:00:00.417Z"},
    "progress": {
        "sent": 9800,
        "skipped": 0,
        "inFlight": 0,
        "remaining": 200,
        "rate": 0.0,
        "eta": None,
    },
}


class ShownCampaign(Campaign):
    """With its live side. `waiting` is null when nothing is in the way, `progress` while the live
    counts have not been read from Kafka.
    """

    model_config = shown_as(SHOWN)

    waiting: Waiting | None
    progress: Progress | None


class Triggered(Schema):
    """How many contacts are sent to, and how many are not, by reason."""

    model_config = shown_as({"accepted": 1, "refused": {"re-entry": 1}})

    accepted: int
    refused: dict[str, int]


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
    `skipped` is by reason.
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


class Occurrence(Schema):
    """An instant, and what clocks show then in the zone of the schedule."""

    at: Instant
    local: str


class Series(Schema):
    """A recurring campaign: how many occurrences have started, the next ten, and the newest twenty
    children.
    """

    model_config = shown_as(
        {
            "campaignId": CAMPAIGN_ID,
            "status": "running",
            "recurringSchedule": {
                "cron": "0 9 * * 1",
                "timezone": "America/New_York",
                "maxOccurrences": 52,
            },
            "occurrencesSent": 1,
            "nextOccurrences": [
                {"at": "2026-02-02T14:00:00.000Z", "local": "2026-02-02 09:00"},
                {"at": "2026-02-09T14:00:00.000Z", "local": "2026-02-09 09:00"},
            ],
            "children": [
                {
                    **SHOWN,
                    "id": "550e8400-e29b-41d4-a716-446655440020",
                    "name": "January Newsletter 2026-01-26 09:00",
                    "parentId": CAMPAIGN_ID,
                    "scheduledAt": "2026-01-26T14:00:00.000Z",
                    "startedAt": "2026-01-26T14:00:00.204Z",
                }
            ],
        }
    )

    campaign_id: UUID
    status: Status
    recurring_schedule: dict[str, Any]
    occurrences_sent: int
    next_occurrences: list[Occurrence]
    children: list[ShownCampaign]


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
