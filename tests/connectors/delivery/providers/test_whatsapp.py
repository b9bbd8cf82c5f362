"""The WhatsApp Cloud API. Meta has no SDK for it in Python: the requests are those of its pages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.delivery.classification import Verdict
from connectors.delivery.letters import UnsendableError
from tests.connectors.delivery.providers.given import ID, NOW, ours, provider, text, verdict
from tests.http_service import said, service

NUMBER: dict[str, Any] = {"channel": "whatsapp", "phoneNumberId": "106540352242922"}


async def test_a_template_and_a_text_are_the_requests_of_the_documentation() -> None:
    # developers.facebook.com/docs/whatsapp/cloud-api/guides/send-message-templates, and
    # …/cloud-api/messages/text-messages
    taken = {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+4915112345678", "wa_id": "4915112345678"}],
        "messages": [{"id": "wamid.HBgL", "message_status": "accepted"}],
    }
    both = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+4915112345678",
        "biz_opaque_callback_data": ID,
    }
    options = {"templateName": "order_update", "language": "pt_BR"}
    async with service(lambda heard: said(200, taken)) as there:
        template = await ours(there, "whatsapp", text("whatsapp", options=options), **NUMBER)
        plain = await ours(there, "whatsapp", text("whatsapp"), **NUMBER)
    assert template.target == plain.target == "/v23.0/106540352242922/messages"
    assert template.headers["authorization"] == "Bearer the-secret"
    assert template.headers["content-type"] == "application/json"
    assert template.json == both | {
        "type": "template",
        "template": {
            "name": "order_update",
            "language": {"code": "pt_BR"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "Hello, Ana"}]}
            ],
        },
    }
    assert plain.json == both | {"type": "text", "text": {"body": "Hello, Ana"}}


# developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (401, 0, Verdict.CONFIGURATION),
        (401, 190, Verdict.CONFIGURATION),
        (403, 10, Verdict.CONFIGURATION),
        (403, 368, Verdict.CONFIGURATION),
        (400, 131045, Verdict.CONFIGURATION),
        (404, 131042, Verdict.CONFIGURATION),
        (400, 4, Verdict.THROTTLED),
        (400, 80007, Verdict.THROTTLED),
        (429, 130429, Verdict.THROTTLED),
        (429, 131048, Verdict.THROTTLED),
        (503, 2, Verdict.THROTTLED),
        (500, 131016, Verdict.THROTTLED),
        (400, 131056, Verdict.DEFERRED),
        (400, 131026, Verdict.SOFT),
        (400, 131049, Verdict.BLOCKED),
        (400, 130472, Verdict.BLOCKED),
        (400, 131050, Verdict.BLOCKED),
        (400, 100, Verdict.CONTENT),
        (400, 131047, Verdict.CONTENT),
        (404, 132001, Verdict.CONTENT),
        (404, 99_999, Verdict.CONFIGURATION),
        (400, 132000, Verdict.CONTENT),
        (500, 131000, Verdict.DOUBT),
        (500, 99_999, Verdict.DOUBT),
        (200, 190, Verdict.ACCEPTED),
    ],
)
def test_an_error_is_what_its_code_and_its_status_say(
    status: int, code: int, wanted: Verdict
) -> None:
    error = {"message": "The words.", "code": code, "error_data": {"details": "More."}}
    body = json.dumps({"error": error}).encode()
    assert verdict(provider("whatsapp", **NUMBER), status, body) is wanted


def test_a_message_of_another_channel_is_not_sent() -> None:
    for wrong in (text("sms"), text("whatsapp", content={})):
        with pytest.raises(UnsendableError):
            provider("whatsapp", **NUMBER).request([wrong], NOW)
