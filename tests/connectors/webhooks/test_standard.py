"""What Standard Webhooks report: our own words, one event or many."""

from __future__ import annotations

import json
from datetime import datetime

from connectors.webhooks import standard
from connectors.webhooks.delivery import Delivery
from tests.connectors.webhooks.reported_as import AT, ID, NOW


def test_standard_webhooks_speak_our_words() -> None:
    plain = {
        "type": "bounced",
        "messageId": ID,
        "timestamp": "2026-01-28T09:00:00Z",
        "data": {"reason": "full", "bounceType": "soft"},
    }
    nested = {
        "type": "message.opened",
        "timestamp": "2026-01-28T10:00:00+01:00",
        "data": {"messageId": ID, "isMachine": True},
    }
    said = {
        "type": "received",
        "timestamp": AT,
        "data": {"channel": "sms", "address": "+15005550006", "text": "unsubscribe"},
    }
    bad: list[object] = [
        {"type": "opened", "timestamp": "2026-01-28T09:00:00"},
        {"type": "bounced", "timestamp": AT, "data": {"bounceType": "x"}},
        1,
    ]
    body = json.dumps(
        [plain, nested, said, {**plain, "type": "sent"}, {**plain, "messageId": None}, *bad]
    ).encode()
    found = standard.read(Delivery({"webhook-id": "msg_1"}, body))
    assert [
        (one.type, one.message_id, datetime.fromisoformat(one.timestamp)) for one in found.reported
    ] == [
        ("bounced", ID, NOW),
        ("opened", ID, NOW),
    ]
    assert (found.ignored, found.unusable) == (2, 3)
    assert (found.said[0].address, found.said[0].is_stop, found.said[0].identity) == (
        "+15005550006",
        True,
        "msg_1:2",
    )
    assert len(standard.read(Delivery({}, json.dumps(plain).encode())).reported) == 1
