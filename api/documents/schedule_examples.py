"""The examples of the routes of time in the API's documentation; the schedule verb's works until
its time has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from api.documents import examples

SCHEDULE: Mapping[str, Any] = MappingProxyType(
    {"scheduledAt": "2036-01-28T09:00:00", "timezone": "America/New_York"}
)
SCHEDULED: Mapping[str, Any] = MappingProxyType(
    {
        **examples.DRAFT,
        "status": "scheduled",
        "version": 2,
        "scheduledAt": "2036-01-28T14:00:00.000Z",
        "timezone": "America/New_York",
    }
)
_WEEKLY = MappingProxyType(
    {"cron": "0 9 * * 1", "timezone": "America/New_York", "maxOccurrences": 52}
)
CHILD = MappingProxyType(
    {
        **examples.SHOWN,
        "id": "550e8400-e29b-41d4-a716-446655440020",
        "name": "January Newsletter 2026-01-26 09:00",
        "parentId": examples.DRAFT["id"],
        "scheduledAt": "2026-01-26T14:00:00.000Z",
        "startedAt": "2026-01-26T14:00:00.204Z",
    }
)
SERIES: Mapping[str, Any] = MappingProxyType(
    {
        "campaignId": examples.DRAFT["id"],
        "status": "running",
        "recurringSchedule": dict(_WEEKLY),
        "occurrencesSent": 1,
        "nextOccurrences": [
            {"at": "2026-02-02T14:00:00.000Z", "local": "2026-02-02 09:00"},
            {"at": "2026-02-09T14:00:00.000Z", "local": "2026-02-09 09:00"},
        ],
        "children": [dict(CHILD)],
    }
)

# Operation -> (example of the body, example of the answer)
OPERATIONS: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = (
    MappingProxyType(
        {
            "campaigns.schedule": (SCHEDULE, {"success": True, "data": dict(SCHEDULED)}),
            "campaigns.series": (None, {"success": True, "data": dict(SERIES)}),
        }
    )
)
