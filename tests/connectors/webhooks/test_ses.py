"""What Amazon SES reports through SNS, in our words."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.webhooks import ses
from connectors.webhooks.delivery import Delivery
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import AT, ID, the_only


def _ses(kind: str, key: str = "eventType", **more: Any) -> Delivery:
    mail = {
        "timestamp": "2026-01-28T08:00:00.000Z",
        "tags": {"messageId": [ID]},
        "destination": ["ana@example.com"],
    }
    return Delivery({}, signing.sns({key: kind, "mail": mail, **more})[1])


_BOUNCED = {
    "timestamp": AT,
    "bouncedRecipients": [
        {"emailAddress": "ana@example.com", "status": "5.1.1", "diagnosticCode": "smtp; 550"}
    ],
}


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (_ses("Delivery", delivery={"timestamp": AT}), ("delivered", {})),
        (_ses("Delivery", "notificationType", delivery={"timestamp": AT}), ("delivered", {})),
        (
            _ses("Bounce", bounce={"bounceType": "Permanent", **_BOUNCED}),
            ("bounced", {"reason": "5.1.1 smtp; 550", "bounceType": "hard"}),
        ),
        (
            _ses(
                "Bounce",
                bounce={"bounceType": "Transient", "bounceSubType": "MailboxFull", "timestamp": AT},
            ),
            ("bounced", {"reason": "MailboxFull", "bounceType": "soft"}),
        ),
        (_ses("Complaint", complaint={"timestamp": AT}), ("complained", {})),
        (
            _ses(
                "Complaint",
                complaint={"timestamp": AT, "complaintSubType": "OnAccountSuppressionList"},
            ),
            ("failed", {"reason": "on the provider's suppression list"}),
        ),
        (
            _ses("Open", open={"timestamp": AT, "userAgent": "Mozilla/5.0 (X11) Firefox/140.0"}),
            ("opened", {}),
        ),
        (
            _ses(
                "Open",
                open={"timestamp": AT, "userAgent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"},
            ),
            ("opened", {"isMachine": True}),
        ),
        (
            _ses("Click", click={"timestamp": AT, "link": "https://a.example/"}),
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            _ses(
                "Subscription",
                subscription={"timestamp": AT, "newTopicPreferences": {"unsubscribeAll": True}},
            ),
            ("unsubscribed", {}),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_ses(delivery: Delivery, expected: object) -> None:
    assert the_only(ses.read(delivery)) == expected


def test_ses_finds_our_id_in_the_headers_of_a_notification() -> None:
    headers = [
        {"name": "To", "value": "ana@example.com"},
        {"name": "X-SES-MESSAGE-TAGS", "value": f"campaign=1, messageId={ID}"},
    ]
    mail = {"timestamp": AT, "headers": headers}
    body = signing.sns(
        {"notificationType": "Complaint", "mail": mail, "complaint": {"timestamp": AT}}
    )[1]
    assert the_only(ses.read(Delivery({}, body))) == ("complained", {})


def test_ses_says_other_things_too() -> None:
    assert ses.read(_ses("Send")).ignored == ses.read(_ses("DeliveryDelay")).ignored == 1
    assert (
        ses.read(
            Delivery(
                {},
                signing.sns("Successfully validated SNS topic for Amazon SES event publishing.")[1],
            )
        ).unusable
        == 1
    )
    assert (
        ses.read(_ses("Delivery", delivery={"timestamp": "0001-01-01T00:00:00+10:00"})).unusable
        == 1
    )
    assert ses.read(Delivery({}, signing.sns("bye", "UnsubscribeConfirmation")[1])).ignored == 1
    asked = ses.read(
        Delivery({}, signing.sns("You have chosen to subscribe", "SubscriptionConfirmation")[1])
    ).asked
    assert (
        asked is not None
        and asked.topic_arn == signing.TOPIC
        and asked.subscribe_url.startswith("https://sns.")
    )
