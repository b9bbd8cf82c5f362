"""What WhatsApp's Cloud API reports, and what recipients say and prefer."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.webhooks import whatsapp
from connectors.webhooks.delivery import Delivery
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import ID, NOW, SECONDS, shown


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"status": "delivered"}, [("delivered", {})]),
        ({"status": "read"}, [("opened", {})]),
        (
            {"status": "failed", "errors": [{"code": 131026, "title": "Message undeliverable"}]},
            [("bounced", {"reason": "131026 Message undeliverable", "bounceType": "hard"})],
        ),
        (
            {"status": "failed", "errors": [{"code": 131050, "title": "t"}]},
            [("unsubscribed", {}), ("failed", {"reason": "131050 t"})],
        ),
        ({"status": "failed"}, [("failed", {})]),
        ({"status": "sent"}, []),
    ],
    ids=["delivered", "read", "undeliverable", "opted out", "failed", "sent"],
)
def test_whatsapp_statuses(status: dict[str, Any], expected: object) -> None:
    value = {
        "statuses": [
            {
                "id": "wamid.1",
                "timestamp": str(SECONDS),
                "recipient_id": "49151",
                "biz_opaque_callback_data": ID,
                **status,
            }
        ]
    }
    assert [
        shown(one) for one in whatsapp.read(Delivery({}, signing.whatsapp(value)[1])).reported
    ] == expected


def test_whatsapp_messages_and_preferences() -> None:
    message = {"from": "4915112345678", "id": "wamid.2", "timestamp": str(SECONDS), "type": "text"}
    value = {
        "messages": [
            {**message, "text": {"body": "STOP"}},
            {**message, "type": "image"},
            {**message, "button": {"text": "Stop"}},
            {"id": 1},
        ],
        "user_preferences": [
            {
                "wa_id": "4915112345678",
                "value": "stop",
                "category": "marketing_messages",
                "timestamp": SECONDS,
            }
        ],
    }
    found = whatsapp.read(Delivery({}, signing.whatsapp(value)[1]))
    assert [(said.is_stop, said.is_reply) for said in found.said] == [
        (True, True),
        (False, True),
        (True, True),
        (True, False),
    ]
    assert {said.address for said in found.said} == {"+4915112345678"} and {
        said.at for said in found.said
    } == {NOW}
    assert found.unusable == 1
