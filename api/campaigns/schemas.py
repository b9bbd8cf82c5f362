"""Answers of the routes of campaigns, with the examples of the API's documentation. Pasted into a
stack that runs the demo, the bodies work: it has the template and the segments.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.http.envelope import Instant, Schema, shown_as
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
    "warning": None,
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
    warning: str | None = None  # answers that an earlier version remembered have none
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
