"""One example of `data` for every command, event and record that crosses Kafka or NATS in public; a
test checks each against its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.campaigns import ab_test_schemas, schemas
from streams.contracts.commands import Verb

TENANT, CORRELATION_ID, AT = (
    "acme",
    "6f1c2f9e-2c1b-4a53-9a55-0d1f6f3c2b11",
    "2026-01-28T09:00:00.417Z",
)
CAMPAIGN_ID = "550e8400-e29b-41d4-a716-446655440000"
USER_ID = "550e8400-e29b-41d4-a716-446655440004"
CONTACT_ID = "550e8400-e29b-41d4-a716-446655440010"
MESSAGE_ID = "00000000-002a-8000-84d2-9f31c05be7a4"
EVENT_ID = "0d9d5b6c-1f0a-5f7e-8210-3f8b527a9c5e"
_CAMPAIGN = {"campaignId": CAMPAIGN_ID, "campaignName": "January Newsletter", "channel": "email"}
_MOVED = {**_CAMPAIGN, "at": AT, "sentCount": 9800}
_MESSAGE = {
    "campaignId": CAMPAIGN_ID,
    "messageId": MESSAGE_ID,
    "recipientNumber": 1234,
    "at": AT,
    "channel": "email",
    "variantId": "B",
}
_REASON = {"reason": "the price in the subject is wrong"}
_COUNTS = {
    "sent": 5000,
    "delivered": 4890,
    "opened": 1630,
    "clicked": 420,
    "bounced": 100,
    "failed": 0,
    "unsubscribed": 8,
    "complained": 1,
    "machineOpened": 205,
    "machineClicked": 6,
    "replied": 2,
    "skipped": 3,
    "accepted": 4960,
}
_ARM = {
    "variantId": "B",
    "delivered": 990,
    "count": 348,
    "of": 990,
    "rate": 35.15,
    "low": 32.24,
    "high": 38.18,
}
_EVALUATION = {
    "outcome": "significant",
    "variants": [
        _ARM,
        {**_ARM, "variantId": "A", "count": 290, "rate": 29.29, "low": 26.54, "high": 32.2},
    ],
    "pValue": 0.0054,
    "confidence": 0.95,
    "criteria": "opened of delivered, the highest",
    "at": AT,
    "pValueCorrection": None,
}

# The body beside `campaignId` (for create: beside `createdBy`).
COMMANDS: Mapping[Verb, Mapping[str, Any]] = {
    Verb.CREATE: schemas.CREATE,
    Verb.UPDATE: schemas.UPDATE,
    Verb.SCHEDULE: {"scheduledAt": "2026-01-28T09:00:00Z", "timezone": "America/New_York"},
    Verb.START: {},
    Verb.PAUSE: _REASON,
    Verb.RESUME: {},
    Verb.CANCEL: _REASON,
    Verb.DELETE: {},
    Verb.TRIGGER: {"contactIds": [CONTACT_ID]},
    Verb.AB_TEST: ab_test_schemas.TEST,
    Verb.WINNER: ab_test_schemas.WINNER,
}
RESULTS: Mapping[str, Mapping[str, Any]] = {
    "accepted": {"command": "campaign.start", "accepted": True, "campaignId": CAMPAIGN_ID},
    "refused": {
        "command": "campaign.start",
        "accepted": False,
        "campaignId": CAMPAIGN_ID,
        "error": {
            "type": "urn:campaigns:problem:illegal-transition",
            "title": "The campaign's status does not allow this",
            "status": 409,
            "detail": (
                "A campaign that is completed cannot be started; only draft and scheduled ones can."
            ),
            "errors": [],
            "correlationId": CORRELATION_ID,
        },
    },
    "trigger": {
        "command": "campaign.trigger",
        "accepted": True,
        "campaignId": CAMPAIGN_ID,
        "outcome": {"accepted": 1, "refused": {}},
    },
}
EVENTS: Mapping[str, Mapping[str, Any]] = {
    "campaign.created": {**_CAMPAIGN, "type": "one_time", "createdBy": USER_ID},
    "campaign.scheduled": {
        **_CAMPAIGN,
        "scheduledAt": "2026-01-28T09:00:00.000Z",
        "timezone": "America/New_York",
    },
    "campaign.started": {
        **_CAMPAIGN,
        "totalRecipients": 10000,
        "scheduledAt": "2026-01-28T09:00:00.000Z",
        "startedAt": AT,
    },
    "campaign.paused": {**_MOVED, **_REASON},
    "campaign.resumed": _MOVED,
    "campaign.cancelled": {**_MOVED, **_REASON},
    "campaign.failed": {**_MOVED, "reason": "expansion-failed"},
    "campaign.completed": {
        **_CAMPAIGN,
        "totalRecipients": 10000,
        "sentCount": 9997,
        "skippedCount": 3,
        "startedAt": AT,
        "completedAt": "2026-01-28T10:02:11.010Z",
    },
    "campaign.updated": {**_CAMPAIGN, "fields": ["name", "throttleConfig"]},
    "campaign.deleted": {**_CAMPAIGN, "at": AT},
    "campaign.alert": {
        **_CAMPAIGN,
        "at": AT,
        "reason": "complaint-rate",
        "detail": "0.41 % of the delivered messages met a complaint.",
    },
    "campaign.ab-test.winner-declared": {
        **_CAMPAIGN,
        "variantId": "B",
        "at": AT,
        "by": "evaluator",
        "evaluation": _EVALUATION,
    },
}
MESSAGE_EVENTS: Mapping[str, Mapping[str, Any]] = {
    "sent": _MESSAGE,
    "accepted": _MESSAGE,
    "delivered": _MESSAGE,
    "opened": {**_MESSAGE, "isMachine": False},
    "clicked": {**_MESSAGE, "isMachine": False, "url": "https://acme.com/sale"},
    "bounced": {**_MESSAGE, "bounceType": "hard", "reason": "550 5.1.1 no such user"},
    "failed": {**_MESSAGE, "reason": "the provider refused it"},
    "unsubscribed": _MESSAGE,
    "complained": _MESSAGE,
    "replied": _MESSAGE,
    "skipped": {**_MESSAGE, "reason": "suppressed"},
}
PERFORMANCE: Mapping[str, Any] = {
    **_CAMPAIGN,
    "type": "one_time",
    "status": "completed",
    "at": AT,
    "revision": 7,
    "isComplete": True,
    "totalRecipients": 10000,
    "sentCount": 9800,
    "deliveredCount": 9500,
    "openedCount": 3200,
    "clickedCount": 850,
    "bouncedCount": 200,
    "unsubscribedCount": 15,
    "complaintCount": 2,
    "failedCount": 0,
    "repliedCount": 3,
    "machineOpenedCount": 410,
    "machineClickedCount": 12,
    "skippedCount": 200,
    "openRate": 33.68,
    "clickRate": 8.95,
    "bounceRate": 2.04,
    "acceptedCount": 9720,
}
MESSAGE: Mapping[str, Any] = {
    "messageId": MESSAGE_ID,
    "tenantId": TENANT,
    "campaignId": CAMPAIGN_ID,
    "contactId": CONTACT_ID,
    "recipientNumber": 1234,
    "variantId": "B",
    "channel": "email",
    "to": "ana@example.com",
    "content": {"subject": "Big Sale!", "html": "<p>Hello Ana</p>", "text": "Hello Ana"},
    "from": {"name": "Acme Corp", "email": "newsletter@acme.com", "replyTo": "support@acme.com"},
    "headers": {
        "List-Unsubscribe": "<https://mail.acme.com/u/AAAAAAAqAAAHFWIn17tKZDT8>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    },
    "createdAt": AT,
}
INCOMING: Mapping[str, Mapping[str, Any]] = {
    "accepted": {
        "type": "accepted",
        "messageId": MESSAGE_ID,
        "tenantId": TENANT,
        "timestamp": AT,
    },
    "delivered": {
        "type": "delivered",
        "messageId": MESSAGE_ID,
        "tenantId": TENANT,
        "timestamp": AT,
    },
    "opened": {
        "type": "opened",
        "messageId": MESSAGE_ID,
        "tenantId": TENANT,
        "timestamp": AT,
        "data": {"isMachine": False},
    },
    "clicked": {
        "type": "clicked",
        "messageId": MESSAGE_ID,
        "tenantId": TENANT,
        "timestamp": AT,
        "data": {"url": "https://acme.com/sale"},
    },
    "bounced": {
        "type": "bounced",
        "messageId": MESSAGE_ID,
        "tenantId": TENANT,
        "timestamp": AT,
        "data": {"bounceType": "hard", "reason": "550 5.1.1 no such user"},
    },
}
STATS: Mapping[str, Any] = {
    "tenantId": TENANT,
    "number": 42,
    "shard": 0,
    "version": 311,
    "campaignId": CAMPAIGN_ID,
    "total": _COUNTS,
    "variants": {"B": _COUNTS},
    "hours": {"491049": [1200, 300]},
    "skipped": {"suppressed": 3},
    "updatedAt": AT,
}
DEAD_LETTER: Mapping[str, Any] = {
    "reason": "not JSON",
    "code": "json",
    "source": {
        "topic": "campaigns.commands.v1",
        "partition": 3,
        "offset": 1207,
        "timestamp": 1769590800417,
    },
    "payload": "eyJ2ZXJzaW9uIjo=",
    "headers": {"type": "campaign.start"},
}
