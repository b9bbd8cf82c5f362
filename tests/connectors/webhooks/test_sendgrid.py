"""What SendGrid reports, in our words; one bad element spoils no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.webhooks import sendgrid
from connectors.webhooks.delivery import Delivery
from tests.connectors.webhooks.reported_as import ID, SECONDS, the_only


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "delivered"}, ("delivered", {})),
        ({"event": "open"}, ("opened", {})),
        ({"event": "open", "sg_machine_open": True}, ("opened", {"isMachine": True})),
        (
            {"event": "click", "url": "https://a.example/"},
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            {
                "event": "bounce",
                "type": "bounce",
                "status": "5.1.1",
                "reason": "550 <ana@example.com> unknown",
            },
            ("bounced", {"reason": "5.1.1 550 <<address>> unknown", "bounceType": "hard"}),
        ),
        (
            {"event": "bounce", "type": "blocked", "reason": "busy"},
            ("bounced", {"reason": "busy", "bounceType": "soft"}),
        ),
        (
            {"event": "dropped", "reason": "Bounced Address"},
            ("failed", {"reason": "Bounced Address"}),
        ),
        ({"event": "spamreport"}, ("complained", {})),
        ({"event": "unsubscribe"}, ("unsubscribed", {})),
        ({"event": "group_unsubscribe"}, ("unsubscribed", {})),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_sendgrid(event: dict[str, Any], expected: object) -> None:
    body = json.dumps(
        [{"email": "ana@example.com", "timestamp": SECONDS, "messageId": ID, **event}]
    ).encode()
    assert the_only(sendgrid.read(Delivery({}, body))) == expected


def test_one_bad_element_of_a_batch_never_drops_the_rest() -> None:
    good = {"event": "delivered", "timestamp": SECONDS, "messageId": ID}
    bad: list[object] = [
        7,
        None,
        {},
        {**good, "timestamp": "soon"},
        {**good, "timestamp": 1e300},
        {**good, "messageId": 5},
    ]
    others = [
        {**good, "messageId": None},
        {**good, "event": "processed"},
        {**good, "event": "from the future"},
    ]
    found = sendgrid.read(Delivery({}, json.dumps([good, *bad, *others, good]).encode()))
    assert (len(found.reported), found.unusable, found.ignored) == (2, len(bad), len(others))
