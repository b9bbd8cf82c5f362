"""The examples of the API's documentation. Pasted into a stack that runs the demo they work: it has
the template and the segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from tables.database.connection import Connection
from tables.directory.directory import create_template, segment_named

TEMPLATE = UUID("550e8400-e29b-41d4-a716-446655440001")
SEGMENT = UUID("550e8400-e29b-41d4-a716-446655440002")
EXCLUDED = UUID("550e8400-e29b-41d4-a716-446655440003")
_CAMPAIGN_ID = "550e8400-e29b-41d4-a716-446655440000"
_AT = "2026-01-28T08:55:12.204Z"

CREATE: Mapping[str, Any] = MappingProxyType(
    {
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
)
UPDATE: Mapping[str, Any] = MappingProxyType(
    {"name": "January Newsletter, corrected", "throttleConfig": {"messagesPerHour": 20000}}
)
REASON: Mapping[str, Any] = MappingProxyType({"reason": "the price in the subject is wrong"})

# As create, start and pause answer. Read answers have `waiting` and `progress` beside it.
DRAFT: Mapping[str, Any] = MappingProxyType(
    {
        "id": _CAMPAIGN_ID,
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
)
RUNNING = MappingProxyType(
    {**DRAFT, "status": "running", "version": 2, "startedAt": "2026-01-28T09:00:00.417Z"}
)
PAUSED = MappingProxyType(
    {
        **RUNNING,
        "status": "paused",
        "version": 3,
        "statusReason": REASON["reason"],
        "inFlight": 5000,
    }
)
CANCELLED = MappingProxyType({**PAUSED, "status": "cancelled", "version": 4, "inFlight": 0})
SHOWN = MappingProxyType(
    {
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
)
STATS: Mapping[str, Any] = MappingProxyType(
    {
        "campaignId": _CAMPAIGN_ID,
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
        "variants": [],
        "failedCount": 0,
        "repliedCount": 3,
        "machineOpenedCount": 410,
        "machineClickedCount": 12,
        "skippedCount": 0,
        "skipped": {},
        "updatedAt": "2026-01-28T09:14:03.120Z",
    }
)
TRIGGER: Mapping[str, Any] = MappingProxyType(
    {"contactIds": ["550e8400-e29b-41d4-a716-446655440010", "550e8400-e29b-41d4-a716-446655440011"]}
)
TRIGGERED: Mapping[str, Any] = MappingProxyType({"accepted": 1, "refused": {"re-entry": 1}})
RECIPIENT: Mapping[str, Any] = MappingProxyType(
    {
        "id": "00000000-002a-8000-84d2-000000000000",
        "recipientNumber": 1234,
        "contactId": "550e8400-e29b-41d4-a716-446655440010",
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


async def install(connection: Connection, tenant: str) -> None:
    """Give the tenant what CREATE refers to, its first 500 contacts with an email address in the
    segment. Repeating it is harmless.

    The ids are global: the first tenant that asks keeps them.
    """
    if await connection.fetchval("SELECT 1 FROM templates WHERE id = $1", TEMPLATE):
        return
    content = {
        "subject": "January at Acme",
        "html": "<p>Hello {{ firstName | default('there') }}, this is our news.</p>",
    }
    template = await create_template(
        connection, tenant, "Example of the API documentation", "email", content
    )
    await connection.execute("UPDATE templates SET id = $2 WHERE id = $1", template.id, TEMPLATE)
    for segment_id, name in (
        (SEGMENT, "Active subscribers (API example)"),
        (EXCLUDED, "Not this time (API example)"),
    ):
        segment = await segment_named(connection, tenant, name)
        await connection.execute(
            "UPDATE segments SET id = $2 WHERE id = $1", segment.id, segment_id
        )
    await connection.execute(
        "INSERT INTO segment_members (segment_id, contact_id, tenant_id)"
        " SELECT $1, id, tenant_id FROM contacts WHERE tenant_id = $2 AND email IS NOT NULL ORDER BY id LIMIT 500",
        SEGMENT,
        tenant,
    )
