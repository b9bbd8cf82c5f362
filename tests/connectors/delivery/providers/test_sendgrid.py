"""SendGrid, beside its own SDK."""

from __future__ import annotations

import pytest
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Content, CustomArg, From, Header, Mail, ReplyTo, To

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


def _send(there: Service) -> None:
    mail = Mail()
    mail.from_email = From("news@acme.example", "Acme")
    mail.add_to(To("ana@example.com"))
    mail.subject = "Grüße"
    mail.reply_to = ReplyTo("help@acme.example")
    mail.content = [
        Content("text/plain", "Hello, Ana"),
        Content("text/html", "<p>Hello, Ana</p>"),
    ]
    mail.add_header(Header("List-Unsubscribe", "<https://acme.example/u>"))
    mail.custom_arg = CustomArg("messageId", ID)
    client = SendGridAPIClient("the-secret")
    client.client.host = there.url
    client.send(mail)


async def test_the_request_is_the_one_that_its_sdk_makes() -> None:
    # www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: 202 without a body
    async with service(lambda heard: said(202)) as there:
        sdk = await theirs(there, lambda: _send(there))
        own = await ours(there, "sendgrid", email())
    are_one(own, sdk, "authorization", "content-type")
    assert own.json == sdk.json


# …/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/responses
@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (202, Verdict.ACCEPTED),
        (400, Verdict.CONTENT),
        (401, Verdict.CONFIGURATION),
        (403, Verdict.CONFIGURATION),
        (404, Verdict.CONFIGURATION),
        (405, Verdict.PROTOCOL),
        (413, Verdict.CONTENT),
        (415, Verdict.PROTOCOL),
        (429, Verdict.THROTTLED),
        (500, Verdict.DOUBT),
        (503, Verdict.THROTTLED),
    ],
)
def test_an_answer_is_what_its_status_says(status: int, wanted: Verdict) -> None:
    body = b'{"errors": [{"message": "The words.", "field": null, "help": null}]}'
    assert verdict(provider("sendgrid"), status, body) is wanted


def test_accounts_of_the_eu_have_a_place_of_their_own() -> None:
    for region, host in (("eu", "api.eu.sendgrid.com"), ("global", "api.sendgrid.com")):
        request = provider("sendgrid", region=region).request([email()], NOW)
        assert request.url == f"https://{host}/v3/mail/send"
    assert provider("sendgrid").window is None
