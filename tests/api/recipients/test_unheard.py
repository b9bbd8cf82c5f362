"""A no that cannot be used is never just an answer: it is in the log, among the dead letters and
counted; a late one is taken.
"""

from __future__ import annotations

import base64
import logging
import time
from typing import Any

import pytest

from streams import metrics
from streams.records.message_id import MessageIds
from tests.api.recipients.hooks import ADDRESS, PHONE, Hooks
from tests.api.recipients.reported import dead_letters
from tests.connectors.webhooks import webhook_signing as signing

_NOW = int(time.time())


async def _letters(hooks: Hooks) -> list[dict[str, Any]]:
    return await dead_letters(hooks.rest.world.settings)


def _counted(provider: str) -> float:
    return float(metrics.UNHEARD.labels(provider)._value.get())


_FOREIGN = {"timestamp": _NOW, "messageId": "00000000-002a-8000-84d2-9f31c05be7a4"}


def _twilio(hooks: Hooks, **form: str) -> signing.Signed:
    return hooks.twilio({"MessageSid": "SM1", "SmsStatus": "received", **form})


async def test_a_no_of_nobody_is_an_error_a_dead_letter_and_a_metric(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = MessageIds.of(hooks.rest.world.settings).make(4_000_000, 7, "acme", 0)
    cases: list[tuple[str, signing.Signed, str]] = [
        ("sendgrid", signing.sendgrid([{"event": "spamreport", "email": ADDRESS}]), "without-id"),
        ("sendgrid", signing.sendgrid([{**_FOREIGN, "event": "unsubscribe"}]), "foreign-id"),
        (
            "sendgrid",
            signing.sendgrid([{"event": "spamreport", "messageId": unknown}]),
            "no-recipient",
        ),
        ("mailgun", signing.mailgun({"event": "unsubscribed", "recipient": ADDRESS}), "without-id"),
        ("twilio", _twilio(hooks, From="12345", Body="STOP"), "no-address"),
        ("standard", signing.standard([{"type": "complained", "messageId": None}]), "without-id"),
        ("standard", signing.standard({"type": "unsubscribed"}), "without-id"),
    ]
    for number, (provider, signed, code) in enumerate(cases, 1):
        before = _counted(provider)
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            assert await hooks.post(provider, signed) == 204
        assert _counted(provider) == before + 1, (provider, code)
        letters = await _letters(hooks)
        assert len(letters) == number
        newest = letters[-1]
        assert newest["source"]["topic"] == f"webhooks/{provider}/acme"
        assert newest["code"] == code
        assert base64.b64decode(newest["payload"])
        (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
        assert (record.__dict__["provider"], record.__dict__["reason"]) == (provider, code)
        for canary in (ADDRESS, PHONE, "12345"):
            assert canary not in f"{record.getMessage()} {record.__dict__}"
    assert await hooks.suppressed() == set()


async def test_a_signed_body_that_cannot_be_read_is_kept_when_it_may_say_no(hooks: Hooks) -> None:
    for body, is_kept in (("[{unsubscribe", True), ("[{delivered", False)):
        before = len(await _letters(hooks))
        assert await hooks.post("sendgrid", signing.sendgrid(body.encode())) == 400
        assert len(await _letters(hooks)) == before + is_kept


async def test_what_says_something_else_about_nobody_is_quiet(hooks: Hooks) -> None:
    events = [{**_FOREIGN, "event": kind} for kind in ("open", "click", "delivered", "bounce")]
    assert await hooks.post("sendgrid", signing.sendgrid([*events, {"event": "open"}, 7])) == 204
    assert await _letters(hooks) == []


async def test_a_repeat_of_mailgun_hours_later_is_taken_and_a_hopeless_one_is_ended(
    hooks: Hooks,
) -> None:
    message_id = await hooks.message()
    event = {"event": "unsubscribed", "user-variables": {"messageId": message_id}}
    for hours, status in ((8, 204), (10, 406)):
        at = time.time() - hours * 3600
        assert await hooks.post("mailgun", signing.mailgun(event, at, token=f"t{hours}")) == status
    assert await hooks.events() == [("unsubscribed", message_id)]
    wrong = signing.mailgun(event, secret="another")
    assert await hooks.post("mailgun", wrong) == 401  # a retry may find the right secret


async def test_null_and_an_odd_time_lose_no_complaint(hooks: Hooks) -> None:
    message_id = await hooks.message()
    for more in ({"data": None}, {"timestamp": "soon"}, {"timestamp": None}, {"timestamp": 7}):
        complaint = {"type": "complained", "messageId": message_id, **more}
        assert await hooks.post("standard", signing.standard([complaint])) == 204
    assert await hooks.events() == [("complained", message_id)] * 4
    assert ("email", ADDRESS, "complained") in await hooks.suppressed()


async def test_a_tenant_has_words_for_stop_of_its_own(hooks: Hooks) -> None:
    body = {"secret": signing.SECRET, "optOutWords": ["Genug", "keine Werbung"]}
    answer = await hooks.rest.admin.put("/tenant/webhooks/twilio", json=body)
    assert answer.json()["data"]["isSet"] == ["secret", "optOutWords"]
    assert await hooks.post("twilio", _twilio(hooks, From=PHONE, Body="KEINE Werbung!")) == 204
    assert await hooks.suppressed() == {("sms", PHONE, "unsubscribed")}


@pytest.mark.parametrize(
    ("provider", "words"), [("twilio", ["!"]), ("twilio", ["a"] * 101), ("sendgrid", ["x"])]
)
async def test_words_without_letters_too_many_or_for_no_messages_are_refused(
    hooks: Hooks, provider: str, words: list[str]
) -> None:
    body = {"secret": "s", "optOutWords": words}
    body |= {"publicKey": signing.sendgrid_key()} if provider == "sendgrid" else {}
    answer = await hooks.rest.admin.put(f"/tenant/webhooks/{provider}", json=body)
    assert answer.status_code == 422
    assert "optOutWords" in answer.text
