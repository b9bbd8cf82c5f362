"""Postmark, beside the SDK for it (postmarker)."""

from __future__ import annotations

import json

import pytest
from postmarker.core import PostmarkClient

from connectors.delivery.classification import Verdict
from tests.connectors.delivery.providers.given import (
    ID,
    are_one,
    email,
    ours,
    provider,
    theirs,
    verdict,
)
from tests.http_service import Service, said, service


def _send(there: Service) -> None:
    client = PostmarkClient(server_token="the-secret", root_api_url=f"{there.url}/")
    with client.session:
        _email(client)


def _email(client: PostmarkClient) -> None:
    client.emails.send(
        From="Acme <news@acme.example>",
        To="ana@example.com",
        Subject="Grüße",
        HtmlBody="<p>Hello, Ana</p>",
        TextBody="Hello, Ana",
        ReplyTo="help@acme.example",
        Headers={"List-Unsubscribe": "<https://acme.example/u>"},
        Metadata={"messageId": ID},
        MessageStream="broadcast",
    )


async def test_the_request_is_the_one_that_its_sdk_makes() -> None:
    # postmarkapp.com/developer/api/email-api
    taken = {"To": "ana@example.com", "MessageID": "0a129aee", "ErrorCode": 0, "Message": "OK"}
    async with service(lambda heard: said(200, taken)) as there:
        sdk = await theirs(there, lambda: _send(there))
        own = await ours(there, "postmark", email())
    are_one(own, sdk, "x-postmark-server-token", "content-type")
    # the SDK names every field that it knows, and turns off the tracking that a server may turn on
    said_there = {name: value for name, value in sdk.json.items() if value}
    assert own.json | {"TrackLinks": "None"} == said_there


# postmarkapp.com/developer/api/overview, "Response codes" and "API error codes"
@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [
        (200, 0, Verdict.ACCEPTED),
        (401, 10, Verdict.CONFIGURATION),
        (404, 0, Verdict.CONFIGURATION),
        (413, 0, Verdict.CONTENT),
        (415, 0, Verdict.PROTOCOL),
        (422, 300, Verdict.CONTENT),
        (422, 100, Verdict.THROTTLED),
        (422, 400, Verdict.CONFIGURATION),
        (422, 401, Verdict.CONFIGURATION),
        (422, 402, Verdict.PROTOCOL),
        (422, 405, Verdict.CONFIGURATION),
        (422, 406, Verdict.HARD),
        (422, 411, Verdict.CONTENT),
        (422, 412, Verdict.CONFIGURATION),
        (422, 413, Verdict.CONFIGURATION),
        (422, 1235, Verdict.CONFIGURATION),
        (422, 99_999, Verdict.CONTENT),
        (429, 429, Verdict.THROTTLED),
        (500, 406, Verdict.DOUBT),
        (503, 100, Verdict.THROTTLED),
    ],
)
def test_an_error_is_what_its_code_and_its_status_say(
    status: int, code: int, wanted: Verdict
) -> None:
    body = json.dumps({"ErrorCode": code, "Message": "The words."}).encode()
    assert verdict(provider("postmark"), status, body) is wanted


def test_it_knows_no_repeat() -> None:
    assert provider("postmark").window is None
