"""Brevo, beside its own SDK."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest
from brevo import Brevo
from brevo.transactional_emails import (
    SendTransacEmailRequestReplyTo,
    SendTransacEmailRequestSender,
    SendTransacEmailRequestToItem,
)

from connectors.delivery.classification import Verdict
from tests.connectors.delivery.providers.given import (
    ID,
    NOW,
    are_one,
    email,
    ours,
    provider,
    theirs,
    verdict,
)
from tests.http_service import Service, said, service

KEY = "the-secret"


def _send(there: Service) -> None:
    with httpx.Client() as connections:
        _email(Brevo(api_key=KEY, base_url=f"{there.url}/v3", httpx_client=connections))


def _email(client: Brevo) -> None:
    client.transactional_emails.send_transac_email(
        sender=SendTransacEmailRequestSender(email="news@acme.example", name="Acme"),
        to=[SendTransacEmailRequestToItem(email="ana@example.com")],
        subject="Grüße",
        html_content="<p>Hello, Ana</p>",
        text_content="Hello, Ana",
        reply_to=SendTransacEmailRequestReplyTo(email="help@acme.example"),
        headers={
            "List-Unsubscribe": "<https://acme.example/u>",
            "idempotencyKey": ID,
            "X-Mailin-custom": f"messageId:{ID}",
        },
    )


async def test_the_request_is_the_one_that_its_sdk_makes() -> None:
    # developers.brevo.com/reference/send-transac-email
    taken = {"messageId": "<202611011205.1@smtp-relay.mailin.fr>"}
    async with service(lambda heard: said(201, taken)) as there:
        sdk = await theirs(there, lambda: _send(there))
        own = await ours(there, "brevo", email())
    are_one(own, sdk, "api-key", "content-type")
    assert own.json == sdk.json


# developers.brevo.com/docs/how-it-works, "Error codes"
@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (400, "duplicate_parameter", Verdict.ACCEPTED),
        (400, "invalid_parameter", Verdict.CONTENT),
        (400, "missing_parameter", Verdict.CONTENT),
        (400, "not_enough_credits", Verdict.CONFIGURATION),
        (400, "permission_denied", Verdict.CONFIGURATION),
        (401, "unauthorized", Verdict.CONFIGURATION),
        (402, "not_enough_credits", Verdict.CONFIGURATION),
        (403, "permission_denied", Verdict.CONFIGURATION),
        (404, "document_not_found", Verdict.CONFIGURATION),
        (405, "method_not_allowed", Verdict.PROTOCOL),
        (406, "not_acceptable", Verdict.PROTOCOL),
        (429, "too_many_requests", Verdict.THROTTLED),
        (500, "internal_error", Verdict.DOUBT),
    ],
)
def test_an_error_is_what_its_code_and_its_status_say(
    status: int, code: str, wanted: Verdict
) -> None:
    body = json.dumps({"code": code, "message": "The words."}).encode()
    assert verdict(provider("brevo"), status, body) is wanted


def test_a_repeat_within_half_an_hour_is_the_same_request_with_the_same_key() -> None:
    brevo = provider("brevo")
    assert brevo.window == timedelta(minutes=25)
    first = brevo.request([email()], NOW)
    assert brevo.request([email()], NOW + timedelta(minutes=20)) == first
    assert first.url == "https://api.brevo.com/v3/smtp/email"
