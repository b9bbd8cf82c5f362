"""SMS by Vonage, beside its own SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vonage_http_client import Auth, HttpClient, HttpClientOptions
from vonage_sms import Sms, SmsMessage

from connectors.delivery.classification import Verdict
from tests.certificates import Authority
from tests.connectors.delivery.providers.given import (
    ID,
    NOW,
    SECRET,
    are_one,
    ours,
    provider,
    text,
    theirs,
    verdict,
)
from tests.http_service import Service, said, service

SMS: dict[str, Any] = {"channel": "sms", "senders": ["+4930123456", "ACME"]}


def _send(there: Service) -> None:
    place = f"127.0.0.1:{there.port}"
    options = HttpClientOptions(rest_host=place, api_host=place, max_retries=0)
    client = HttpClient(Auth(api_key=SECRET.username, api_secret=SECRET.password), options)
    message = SmsMessage(
        to="4915112345678",
        from_="4930123456",
        text="Привет, Ana",
        type="unicode",
        client_ref=ID,
    )
    with client._session:
        Sms(client).send(message)


async def test_the_request_is_the_one_that_its_sdk_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # developer.vonage.com/en/api/sms
    part = {"to": "4915112345678", "message-id": "0A", "status": "0"}
    part |= {"remaining-balance": "3.1", "message-price": "0.03", "network": "12345"}
    taken = {"message-count": "1", "messages": [part]}
    authority = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))  # the SDK speaks TLS always
    async with service(lambda heard: said(200, taken), authority.issue("127.0.0.1")) as there:
        sdk = await theirs(there, lambda: _send(there))
        message = text(content={"text": "Привет, Ana"})
        own = await ours(there, "vonage", message, str(authority.file), **SMS)
    are_one(own, sdk, "authorization", "content-type")
    assert own.form == sdk.form


# developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms, "SMS API Error Codes"
@pytest.mark.parametrize(
    ("statuses", "wanted"),
    [
        (["0"], Verdict.ACCEPTED),
        (["0", "0"], Verdict.ACCEPTED),
        (["1"], Verdict.THROTTLED),
        (["2"], Verdict.CONTENT),
        (["4"], Verdict.CONFIGURATION),
        (["5"], Verdict.DOUBT),
        (["7"], Verdict.BLOCKED),
        (["9"], Verdict.CONFIGURATION),
        (["10"], Verdict.THROTTLED),
        (["15"], Verdict.CONFIGURATION),
        (["29"], Verdict.CONFIGURATION),
        (["33"], Verdict.HARD),
        (["99"], Verdict.CONTENT),
        (["0", "1"], Verdict.CONTENT),
        (["1", "1"], Verdict.THROTTLED),
        ([], Verdict.DOUBT),
    ],
)
def test_an_answer_is_what_the_statuses_of_its_parts_say(
    statuses: list[str], wanted: Verdict
) -> None:
    parts = [{"status": one, "error-text": "The words."} for one in statuses]
    body = json.dumps({"message-count": str(len(parts)), "messages": parts}).encode()
    assert verdict(provider("vonage", **SMS), 200, body) is wanted


def test_other_statuses_are_those_of_http() -> None:
    of = provider("vonage", **SMS)
    assert verdict(of, 401, b"") is Verdict.CONFIGURATION
    assert verdict(of, 429, b"") is Verdict.THROTTLED
    assert verdict(of, 502, b"<html>") is Verdict.DOUBT


def test_plain_texts_have_no_type_and_numbers_no_plus() -> None:
    of = provider("vonage", **SMS)
    body = of.request([text(sender={"senderId": "ACME"})], NOW).body.decode()
    assert body == f"to=4915112345678&from=ACME&text=Hello%2C+Ana&client-ref={ID}"
