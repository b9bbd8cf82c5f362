"""SMS by Twilio, beside its own SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from connectors.delivery.classification import Verdict
from connectors.delivery.letters import UnsendableError
from tests.connectors.delivery.providers.given import (
    ID,
    NOW,
    SECRET,
    are_one,
    email,
    ours,
    provider,
    text,
    theirs,
    verdict,
)
from tests.http_service import Service, said, service

ACCOUNT = "AC" + "0f" * 16
CALLBACK = "https://campaigns.example/webhooks/twilio/acme"
SMS: dict[str, Any] = {
    "channel": "sms",
    "accountSid": ACCOUNT,
    "senders": ["+4930123456"],
    "statusCallback": CALLBACK,
}


def _send(there: Service) -> None:
    http = TwilioHttpClient(pool_connections=False)
    client = Client(SECRET.username, SECRET.password, ACCOUNT, http_client=http)
    client.api.base_url = there.url
    client.messages.create(
        to="+4915112345678",
        from_="+4930123456",
        body="Grüße, Ana & Ben",
        status_callback=f"{CALLBACK}?messageId={ID}",
    )


async def test_the_request_is_the_one_that_its_sdk_makes() -> None:
    # www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
    taken = {"sid": "SM" + "1" * 32, "status": "queued", "error_code": None}
    async with service(lambda heard: said(201, taken)) as there:
        sdk = await theirs(there, lambda: _send(there))
        own = await ours(there, "twilio", text(content={"text": "Grüße, Ana & Ben"}), **SMS)
    are_one(own, sdk, "authorization", "content-type")
    assert own.form == sdk.form


# www.twilio.com/docs/api/errors
@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (400, 21211, Verdict.HARD),
        (400, 21614, Verdict.HARD),
        (400, 21612, Verdict.SOFT),
        (400, 21610, Verdict.BLOCKED),
        (400, 21408, Verdict.CONTENT),
        (400, 21617, Verdict.CONTENT),
        (400, 21212, Verdict.CONFIGURATION),
        (400, 21606, Verdict.CONFIGURATION),
        (400, 21659, Verdict.CONFIGURATION),
        (400, 21611, Verdict.THROTTLED),
        (400, 99_999, Verdict.CONTENT),
        (401, 20003, Verdict.CONFIGURATION),
        (403, 20005, Verdict.CONFIGURATION),
        (404, 20404, Verdict.CONFIGURATION),
        (429, 20429, Verdict.THROTTLED),
        (500, 20500, Verdict.DOUBT),
        (503, 20503, Verdict.THROTTLED),
        (201, 0, Verdict.ACCEPTED),
    ],
)
def test_an_error_is_what_its_code_and_its_status_say(
    status: int, code: int, wanted: Verdict
) -> None:
    body = json.dumps({"code": code, "message": "The words.", "status": status}).encode()
    assert verdict(provider("twilio", **SMS), status, body) is wanted


def test_the_sender_is_that_of_the_message_or_the_first_of_the_route() -> None:
    service_id = "MG" + "a" * 32
    of = provider("twilio", **SMS | {"senders": [service_id, "ACME"], "statusCallback": None})
    own = of.request([text(sender={"senderId": "ACME"})], NOW).body.decode()
    assert own == "To=%2B4915112345678&From=ACME&Body=Hello%2C+Ana"
    first = of.request([text(sender=None)], NOW).body.decode()
    assert f"MessagingServiceSid={service_id}" in first and "From" not in first
    for wrong in (email(), text(content={}), text("whatsapp")):
        with pytest.raises(UnsendableError):
            of.request([wrong], NOW)
