"""What Mailgun reports, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.webhooks import mailgun
from connectors.webhooks.delivery import Delivery
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import ID, SECONDS, the_only


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "delivered"}, ("delivered", {})),
        ({"event": "opened", "client-info": {"client-name": "Chrome"}}, ("opened", {})),
        ({"event": "opened", "client-info": {"bot": "apple"}}, ("opened", {"isMachine": True})),
        (
            {"event": "clicked", "url": "https://a.example/"},
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "reason": "bounce",
                "delivery-status": {"code": 550, "message": "5.1.1 no ana@example.com"},
            },
            ("bounced", {"reason": "550 5.1.1 no <address>", "bounceType": "hard"}),
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "old"},
            ("bounced", {"reason": "old", "bounceType": "soft"}),
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "suppress-bounce"},
            ("failed", {"reason": "suppress-bounce"}),
        ),
        ({"event": "rejected"}, ("failed", {})),
        ({"event": "complained"}, ("complained", {})),
        ({"event": "unsubscribed"}, ("unsubscribed", {})),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_mailgun(event: dict[str, Any], expected: object) -> None:
    _, body = signing.mailgun(
        {"timestamp": SECONDS + 0.0, "user-variables": {"messageId": ID}, **event}
    )
    assert the_only(mailgun.read(Delivery({}, body))) == expected


def test_mailgun_will_try_again_or_reports_of_nobody() -> None:
    for event in (
        {"event": "failed", "severity": "temporary", "user-variables": {"messageId": ID}},
        {"event": "accepted"},
        {"event": "opened"},
    ):
        assert (
            mailgun.read(Delivery({}, signing.mailgun({"timestamp": 1, **event})[1])).ignored == 1
        )
    assert mailgun.read(Delivery({}, signing.mailgun({"event": 7})[1])).unusable == 1
