"""What recipients answer, and how soon it holds; what is left when the process dies in between;
what no log may hold.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import httpx
import pytest

from tests.api.recipients.hooks import ADDRESS, PHONE, SETTINGS, Hooks
from tests.api.world import serving
from tests.connectors.webhooks import webhook_signing as signing


async def test_a_reply_is_the_last_message_that_went_to_the_number(hooks: Hooks) -> None:
    await hooks.message("sms", hours_ago=30)
    last, chat = (
        await hooks.message("sms", hours_ago=20),
        await hooks.message("whatsapp", hours_ago=10),
    )
    await hooks.message("email", hours_ago=1)
    said = {
        "MessageSid": "SM1",
        "SmsStatus": "received",
        "From": PHONE,
        "Body": "canary text: is it still on?",
    }
    assert await hooks.post("twilio", hooks.twilio(said)) == 204
    newer = await hooks.message("sms", hours_ago=0)
    assert (
        await hooks.post("twilio", hooks.twilio(said)) == 204
    )  # the same message of theirs, again
    assert await hooks.post("twilio", hooks.twilio({**said, "MessageSid": "SM2"})) == 204
    text = {
        "from": PHONE[1:],
        "id": "wamid.1",
        "timestamp": str(int(time.time())),
        "text": {"body": "hello"},
    }
    assert await hooks.post("whatsapp", signing.whatsapp({"messages": [text]})) == 204
    assert await hooks.events() == sorted(
        [("replied", last), ("replied", last), ("replied", newer), ("replied", chat)]
    )
    assert await hooks.suppressed() == set()


async def test_stop_unsubscribes_the_number_whether_or_not_a_message_is_known(hooks: Hooks) -> None:
    message_id = await hooks.message("sms")
    stop = {"MessageSid": "SM1", "SmsStatus": "received", "Body": "Stop"}
    assert await hooks.post("twilio", hooks.twilio({**stop, "From": PHONE})) == 204
    assert (
        await hooks.post("twilio", hooks.twilio({**stop, "From": "whatsapp:+15005550006"})) == 204
    )
    assert (
        await hooks.post("twilio", hooks.twilio({**stop, "From": "12345"})) == 204
    )  # a short code is nobody's number
    assert await hooks.events() == [("unsubscribed", message_id)]  # and no reply
    assert await hooks.suppressed() == {
        ("sms", PHONE, "unsubscribed"),
        ("whatsapp", "+15005550006", "unsubscribed"),
    }


async def test_nothing_older_than_thirty_days_is_answered(hooks: Hooks) -> None:
    await hooks.message("sms", hours_ago=24 * 30 + 1)
    said = {"MessageSid": "SM1", "SmsStatus": "received", "From": PHONE, "Body": "hello"}
    assert await hooks.post("twilio", hooks.twilio(said)) == 204
    assert await hooks.events() == []


async def test_one_click_suppresses_before_it_is_answered(hooks: Hooks) -> None:
    message_id = await hooks.message()
    one_click = {"List-Unsubscribe": "One-Click"}
    answer = await hooks.provider.post(hooks.unsubscribe(message_id), data=one_click)
    assert answer.status_code == 200
    assert await hooks.suppressed() == {("email", ADDRESS, "unsubscribed")}
    assert await hooks.events() == [("unsubscribed", message_id)]


async def test_killed_between_its_effects_a_repeat_completes_them(
    hooks: Hooks, tmp_path: Path
) -> None:
    message_id, settings = await hooks.message(), hooks.rest.world.settings
    headers, body = hooks.about("standard", message_id, "unsubscribed")
    for number, (path, crash) in enumerate(
        {
            "/webhooks/standard/acme": "inbound:suppressed:1",
            hooks.unsubscribe(message_id): "tracking:suppressed:1",
        }.items()
    ):
        async with (
            serving(settings, tmp_path / f"{number}.log", CAMPAIGNS_CRASH=crash) as url,
            httpx.AsyncClient(base_url=url) as provider,
        ):
            with pytest.raises(httpx.TransportError):
                await provider.post(path, headers=headers, content=body)
        assert await hooks.suppressed() == {("email", ADDRESS, "unsubscribed")}
        assert await hooks.events() == []
    assert await hooks.post("standard", (headers, body)) == 204
    assert (await hooks.provider.post(hooks.unsubscribe(message_id))).status_code == 200
    assert await hooks.events() == [("unsubscribed", message_id)] * 2
    assert len(await hooks.suppressed()) == 1


async def test_no_log_holds_an_address_a_text_or_a_secret(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in SETTINGS:
        message_id = await hooks.message("sms" if name in ("twilio", "whatsapp") else "email")
        assert await hooks.reported(name, message_id, "unsubscribed") == 204
        await hooks.post(name, ({}, f"{ADDRESS} {PHONE}".encode()))
    await hooks.post("ses", signing.sns("You have chosen …", "SubscriptionConfirmation"))
    await hooks.post(
        "twilio",
        hooks.twilio(
            {
                "MessageSid": "SM1",
                "SmsStatus": "received",
                "From": PHONE,
                "Body": "canary text STOP",
            }
        ),
    )
    everything = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for canary in (
        ADDRESS,
        PHONE[1:],
        "canary text",
        signing.SECRET,
        signing.STANDARD_SECRET,
        "chosen by us",
        "Token=2336412f37",
    ):
        assert canary not in everything, canary
