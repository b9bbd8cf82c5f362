"""The bodies and answers of the specification's section 4 to the letter, and a tenant that has what
they name.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tables.directory.examples import install_examples
from tests.api.world import Rest
from tests.postgres import sql

CREATE: dict[str, Any] = {
    "name": "January Newsletter",
    "description": "Monthly newsletter for active subscribers",
    "channel": "email",
    "type": "one_time",
    "templateId": "550e8400-e29b-41d4-a716-446655440001",
    "segmentIds": ["550e8400-e29b-41d4-a716-446655440002"],
    "excludeSegmentIds": ["550e8400-e29b-41d4-a716-446655440003"],
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
SCHEDULE = {"scheduledAt": "2026-01-28T09:00:00Z", "timezone": "America/New_York"}
PREVIEW = {"contactId": "550e8400-e29b-41d4-a716-446655440010"}
AB_TEST: dict[str, Any] = {
    "variants": [
        {"variantId": "A", "name": "Short Subject", "subject": "Big Sale!", "weight": 50},
        {
            "variantId": "B",
            "name": "Long Subject",
            "subject": "Exclusive Sale - Up to 70% Off!",
            "weight": 50,
        },
    ],
    "winnerCriteria": "open_rate",
    "testDurationHours": 4,
    "testSamplePercent": 20,
}
WINNER = {"variantId": "B"}
STATS = {
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
    "variants": [
        {"variantId": "A", "openRate": 32.5, "clickRate": 8.2},
        {"variantId": "B", "openRate": 35.1, "clickRate": 9.8, "isWinner": True},
    ],
}
# Section 3, as the API spells it.
COLUMNS = {
    *(
        "id",
        "tenantId",
        "name",
        "description",
        "channel",
        "status",
        "type",
        "templateId",
        "segmentIds",
        "excludeSegmentIds",
    ),
    *(
        "scheduledAt",
        "timezone",
        "recurringSchedule",
        "settings",
        "abTestConfig",
        "throttleConfig",
        "startedAt",
        "completedAt",
    ),
    *("createdBy", "createdAt", "updatedAt", "deletedAt"),
}
RECIPIENT_COLUMNS = {
    *(
        "id",
        "contactId",
        "variantId",
        "status",
        "sentAt",
        "deliveredAt",
        "openedAt",
        "clickedAt",
        "failedAt",
        "failureReason",
        "messageId",
    ),
}


async def furnish(rest: Rest) -> Rest:
    """Give the tenant the template, the segments and the contact of these bodies."""
    pool, contact = rest.world.pool, UUID(PREVIEW["contactId"])
    await sql(pool).execute(
        "INSERT INTO contacts (id, tenant_id, email, first_name)"
        " VALUES ($1, 'acme', 'ana@example.com', 'Ana')",
        contact,
    )
    async with pool.transaction() as connection:
        await install_examples(connection, "acme")
    return rest


async def create(rest: Rest, **more: Any) -> dict[str, Any]:
    answer = await rest.admin.post("/campaigns", json={**CREATE, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])
