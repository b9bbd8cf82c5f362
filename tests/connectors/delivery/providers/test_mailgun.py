"""Mailgun, beside its own SDK."""

from __future__ import annotations

import pytest
from mailgun.client import Client

from connectors.delivery.classification import Verdict
from tests.connectors.delivery.providers.given import (
    ID,
    NOW,
    SECRET,
    are_one,
    email,
    ours,
    provider,
    theirs,
    verdict,
)
from tests.http_service import Service, said, service

DOMAIN = "mg.acme.example"


def _send(there: Service) -> None:
    client = Client(auth=("api", SECRET.password), api_url=there.url)
    fields = {
        "from": "Acme <news@acme.example>",
        "to": "ana@example.com",
        "subject": "Grüße",
        "html": "<p>Hello, Ana</p>",
        "text": "Hello, Ana",
        "h:Reply-To": "help@acme.example",
        "h:List-Unsubscribe": "<https://acme.example/u>",
        "v:messageId": ID,
    }
    client.messages.create(data=fields, domain=DOMAIN)
    client.close()


async def test_the_request_is_the_one_that_its_sdk_makes() -> None:
    # documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
    taken = {"id": "<20261101.1@mg.acme.example>", "message": "Queued. Thank you."}
    async with service(lambda heard: said(200, taken)) as there:
        sdk = await theirs(there, lambda: _send(there))
        own = await ours(there, "mailgun", email(), domain=DOMAIN)
    are_one(own, sdk, "authorization", "content-type")
    assert own.form == sdk.form


# documentation.mailgun.com/docs/mailgun/quickstart-guide/responses
@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (200, Verdict.ACCEPTED),
        (400, Verdict.CONTENT),
        (401, Verdict.CONFIGURATION),
        (403, Verdict.CONFIGURATION),
        (404, Verdict.CONFIGURATION),
        (429, Verdict.THROTTLED),
        (500, Verdict.DOUBT),
        (502, Verdict.DOUBT),
    ],
)
def test_an_answer_is_what_its_status_says(status: int, wanted: Verdict) -> None:
    of = provider("mailgun", domain=DOMAIN)
    assert verdict(of, status, b'{"message": "The words."}') is wanted
    assert verdict(of, status, b"Forbidden") is wanted


def test_accounts_of_the_eu_have_a_place_of_their_own() -> None:
    for region, host in (("eu", "api.eu.mailgun.net"), ("us", "api.mailgun.net")):
        of = provider("mailgun", domain=DOMAIN, region=region)
        assert of.request([email()], NOW).url == f"https://{host}/v3/{DOMAIN}/messages"
        assert of.window is None
