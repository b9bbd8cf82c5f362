"""An event of ours as the tests compare it: kind and details, once id and time are found right."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.webhooks.delivery import Read, Reported
from streams.records.reported_events import Details

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
AT, SECONDS = "2026-01-28T09:00:00.000Z", 1_769_590_800
NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)


def the_only(read: Read) -> tuple[str, dict[str, Any]]:
    """Kind and details of the one event, which must be ours and of our time."""
    assert (len(read.reported), read.ignored, read.unusable) == (1, 0, 0)
    return shown(read.reported[0])


def shown(one: Reported) -> tuple[str, dict[str, Any]]:
    assert (one.message_id, one.timestamp) == (ID, AT)
    details = one.details or Details()
    found = {
        "reason": details.reason,
        "bounceType": details.bounce_type,
        "url": details.url,
        "isMachine": details.is_machine,
    }
    return one.type, {name: value for name, value in found.items() if value}
