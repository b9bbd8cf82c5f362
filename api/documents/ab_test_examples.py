"""The examples of A/B tests in the API's documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from api.documents.examples import DRAFT, RUNNING

TEST: Mapping[str, Any] = MappingProxyType(
    {
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
)
STORED: Mapping[str, Any] = {
    **TEST,
    "onTie": "best",
    "onTooFew": "best",
    "minimumDelivered": 30,
    "confidence": 0.95,
}
WINNER: Mapping[str, Any] = MappingProxyType({"variantId": "B"})
_EVALUATION: Mapping[str, Any] = {
    "outcome": "significant",
    "variants": [
        {
            "variantId": "B",
            "delivered": 950,
            "count": 333,
            "of": 950,
            "rate": 35.05,
            "low": 32.08,
            "high": 38.14,
        },
        {
            "variantId": "A",
            "delivered": 952,
            "count": 286,
            "of": 952,
            "rate": 30.04,
            "low": 27.21,
            "high": 33.03,
        },
    ],
    "pValue": 0.019704,
    "confidence": 0.95,
    "criteria": "highest opened of delivered",
    "at": "2026-01-28T13:00:04.118Z",
}
SHOWN: Mapping[str, Any] = MappingProxyType(
    {
        "campaignId": DRAFT["id"],
        **STORED,
        "variants": [TEST["variants"][0], {**TEST["variants"][1], "isWinner": True}],
        "state": "decided",
        "sampleSize": 2000,
        "sampleSentAt": "2026-01-28T09:00:04.000Z",
        "until": None,
        "winnerVariantId": "B",
        "evaluation": _EVALUATION,
        "current": {**_EVALUATION, "at": "2026-01-28T13:05:00.000Z"},
        "decisions": [
            {
                "at": "2026-01-28T13:00:04.118Z",
                "decision": "winner",
                "variantId": "B",
                "decidedBy": None,
            }
        ],
    }
)
# As the specification has them, with our counts beside.
VARIANTS: tuple[Mapping[str, Any], ...] = (
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
OPERATIONS: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = {
    "campaigns.create_ab_test": (
        TEST,
        {"success": True, "data": {**DRAFT, "abTestConfig": STORED, "version": 2}},
    ),
    "campaigns.ab_test": (None, {"success": True, "data": SHOWN}),
    "campaigns.declare_winner": (
        WINNER,
        {
            "success": True,
            "data": {**RUNNING, "abTestConfig": STORED, "winnerVariantId": "B", "version": 5},
        },
    ),
}
