"""Resend, beside its own SDK."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import resend

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
from tests.http_service import said, service


async def test_the_request_is_the_one_that_its_sdk_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    params: resend.Emails.SendParams = {
        "from": "Acme <news@acme.example>",
        "to": ["ana@example.com"],
        "subject": "Grüße",
        "html": "<p>Hello, Ana</p>",
        "text": "Hello, Ana",
        "reply_to": "help@acme.example",
        "headers": {"List-Unsubscribe": "<https://acme.example/u>"},
        "tags": [{"name": "messageId", "value": ID}],
    }
    # resend.com/docs/api-reference/emails/send-email
    async with service(lambda heard: said(200, {"id": "49a3999c"})) as there:
        monkeypatch.setattr(resend, "api_url", there.url)
        monkeypatch.setattr(resend, "api_key", "the-secret")
        sdk = await theirs(there, lambda: resend.Emails.send(params, {"idempotency_key": ID}))
        own = await ours(there, "resend", email())
    are_one(own, sdk, "authorization", "content-type", "idempotency-key")
    assert own.json == sdk.json


# resend.com/docs/api-reference/errors
@pytest.mark.parametrize(
    ("status", "name", "wanted"),
    [
        (400, "validation_error", Verdict.CONTENT),
        (400, "invalid_idempotency_key", Verdict.CONTENT),
        (401, "missing_api_key", Verdict.CONFIGURATION),
        (401, "restricted_api_key", Verdict.CONFIGURATION),
        (403, "invalid_api_key", Verdict.CONFIGURATION),
        (403, "validation_error", Verdict.CONFIGURATION),  # the domain is not verified
        (404, "not_found", Verdict.CONFIGURATION),
        (405, "method_not_allowed", Verdict.PROTOCOL),
        (409, "invalid_idempotent_request", Verdict.PROTOCOL),
        (409, "concurrent_idempotent_requests", Verdict.THROTTLED),
        (422, "invalid_from_address", Verdict.CONTENT),
        (422, "missing_required_field", Verdict.CONTENT),
        (429, "daily_quota_exceeded", Verdict.THROTTLED),
        (429, "monthly_quota_exceeded", Verdict.THROTTLED),
        (429, "rate_limit_exceeded", Verdict.THROTTLED),
        (451, "security_error", Verdict.BLOCKED),
        (500, "application_error", Verdict.DOUBT),
        (500, "internal_server_error", Verdict.DOUBT),
    ],
)
def test_an_error_is_what_its_name_and_its_status_say(
    status: int, name: str, wanted: Verdict
) -> None:
    body = json.dumps({"statusCode": status, "name": name, "message": "The words."}).encode()
    assert verdict(provider("resend"), status, body) is wanted


def test_a_repeat_within_a_day_is_the_same_request_with_the_same_key() -> None:
    resend_ = provider("resend")
    assert resend_.window == timedelta(hours=23)
    first = resend_.request([email()], NOW)
    assert resend_.request([email()], NOW + timedelta(hours=20)) == first
    assert first.headers["Idempotency-Key"] == ID and first.url == "https://api.resend.com/emails"
