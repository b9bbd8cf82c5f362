"""What Twilio reports of SMS and WhatsApp, and what recipients say through it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.webhooks import twilio
from connectors.webhooks.delivery import Delivery
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import ID, NOW, shown


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"MessageStatus": "delivered"}, [("delivered", {})]),
        ({"MessageStatus": "read"}, [("opened", {})]),
        (
            {"MessageStatus": "undelivered", "ErrorCode": "30005"},
            [("bounced", {"reason": "error 30005", "bounceType": "hard"})],
        ),
        (
            {"MessageStatus": "undelivered", "ErrorCode": "30003"},
            [("bounced", {"reason": "error 30003", "bounceType": "soft"})],
        ),
        (
            {"MessageStatus": "failed", "ErrorCode": "30008"},
            [("failed", {"reason": "error 30008"})],
        ),
        (
            {"MessageStatus": "failed", "ErrorCode": "21610"},
            [("unsubscribed", {}), ("failed", {"reason": "error 21610"})],
        ),
        ({"MessageStatus": "sent"}, []),
    ],
    ids=lambda value: (
        None if isinstance(value, list) else value.get("ErrorCode", value["MessageStatus"])
    ),
)
def test_twilio_statuses(form: dict[str, str], expected: object) -> None:
    _, body = signing.twilio("", {"MessageSid": "SM1", "To": "+15005550006", **form})
    assert [
        shown(one) for one in twilio.read(Delivery({}, body, query={"messageId": ID}), NOW).reported
    ] == expected


def test_twilio_messages() -> None:
    def said(**form: str) -> Any:
        _, body = signing.twilio("", {"MessageSid": "SM1", "SmsStatus": "received", **form})
        return twilio.read(Delivery({}, body), NOW).said[0]

    stop = said(From="+15005550006", Body="Stop.")
    assert (stop.channel, stop.address, stop.at, stop.identity, stop.is_stop, stop.is_reply) == (
        "sms",
        "+15005550006",
        NOW,
        "SM1",
        True,
        True,
    )
    chat = said(From="whatsapp:+15005550006", Body="please stop calling me")
    assert (chat.channel, chat.address, chat.is_stop) == ("whatsapp", "+15005550006", False)
    assert said(From="+15005550006", Body="Arrêt", OptOutType="STOP").is_stop
    assert "15005550006" not in repr(stop)
