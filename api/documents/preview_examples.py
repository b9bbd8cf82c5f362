"""Examples of the routes that look at a campaign before it is sent; the identifiers are those of
api/documents/examples.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.documents import examples

_CAMPAIGN_ID = examples.DRAFT["id"]
_CONTACT_ID = examples.RECIPIENT["contactId"]
_MESSAGE_ID = "00000000-0000-8a3f-81c5-5b1f0d6e9a27"
_UNSUBSCRIBE = f"https://campaigns.example.com/u/{_MESSAGE_ID}"
_SENDER = {"name": "Acme Corp", "email": "newsletter@acme.com", "replyTo": "support@acme.com"}
_PREVIEW = {
    "campaignId": _CAMPAIGN_ID,
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
            "from": _SENDER,
            "headers": {
                "List-Unsubscribe": f"<{_UNSUBSCRIBE}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
            "options": None,
            "hints": {"bytes": 153, "limit": 102000},
        }
    ],
}
_AUDIENCE = {
    "total": 9800,
    "inSegments": 10000,
    "excluded": {
        "excluded-segment": 120,
        "suppressed": 40,
        "no-address": 30,
        "duplicate-address": 10,
    },
    "limit": 1000000,
    "isOverLimit": False,
    "segments": None,
}
_TO = {"messageId": _MESSAGE_ID, "to": "me@example.com", "variantId": None}
_TESTS = {"campaignId": _CAMPAIGN_ID, "contactId": _CONTACT_ID, "messages": [_TO]}
_NOT_SAVED = {
    "channel": "email",
    "segmentIds": [str(examples.SEGMENT)],
    "excludeSegmentIds": [str(examples.EXCLUDED)],
}

OPERATIONS: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = {
    "campaigns.preview": (
        {
            "contact": {
                "firstName": "Ana",
                "email": "ana@example.com",
                "attributes": {"plan": "pro"},
            }
        },
        {"success": True, "data": _PREVIEW},
    ),
    "campaigns.audience": (None, {"success": True, "data": _AUDIENCE}),
    "campaigns.any_audience": (_NOT_SAVED, {"success": True, "data": _AUDIENCE}),
    "campaigns.test_send": ({"addresses": ["me@example.com"]}, {"success": True, "data": _TESTS}),
}
