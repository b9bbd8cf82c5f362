"""Webhooks over HTTP: what is in Kafka and in PostgreSQL when they are answered, and what is
refused.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from streams.records.message_id import MessageIds
from tests.api.campaigns.test_routes import problem
from tests.api.recipients.hooks import ADDRESS, PHONE, SETTINGS, Hooks
from tests.connectors.webhooks import webhook_signing as signing
from tests.postgres import sql


async def test_what_any_provider_reports_is_in_kafka_when_it_is_answered_and_a_repeat_is_harmless(
    hooks: Hooks,
) -> None:
    sent = {
        name: await hooks.message("sms" if name in ("twilio", "whatsapp") else "email")
        for name in SETTINGS
    }
    for name, message_id in sent.items():
        signed, params = (
            hooks.about(name, message_id),
            {"messageId": message_id} if name == "twilio" else {},
        )
        assert [await hooks.post(name, signed, **params) for _ in range(2)] == [204, 204], name
    assert await hooks.events() == sorted(
        ("delivered", message_id) for message_id in [*sent.values()] * 2
    )
    assert await hooks.suppressed() == set()


async def test_who_unsubscribes_is_suppressed_when_the_provider_is_answered(hooks: Hooks) -> None:
    for name in SETTINGS:
        channel = "whatsapp" if name == "whatsapp" else "sms" if name == "twilio" else "email"
        assert await hooks.reported(name, await hooks.message(channel), "unsubscribed") == 204
        assert (
            channel,
            ADDRESS if channel == "email" else PHONE,
            "unsubscribed",
        ) in await hooks.suppressed(), name
        await sql(hooks.rest.world.pool).execute("DELETE FROM suppressions")


async def test_a_complaint_and_a_hard_bounce_suppress_at_once_and_a_soft_one_does_not(
    hooks: Hooks,
) -> None:
    for event, reason in (
        ({"event": "spamreport"}, "complained"),
        ({"event": "bounce", "type": "bounce"}, "hard-bounce"),
        ({"event": "bounce", "type": "blocked"}, None),
        ({"event": "dropped"}, None),
    ):
        message_id = await hooks.message()
        assert (
            await hooks.post(
                "sendgrid",
                signing.sendgrid(
                    [{**event, "timestamp": int(time.time()), "messageId": message_id}]
                ),
            )
            == 204
        )
        assert await hooks.suppressed() == ({("email", ADDRESS, reason)} if reason else set())
        await sql(hooks.rest.world.pool).execute("DELETE FROM suppressions")


async def test_one_bad_element_of_a_batch_never_drops_the_rest(hooks: Hooks) -> None:
    message_id = await hooks.message()
    good = {"event": "delivered", "timestamp": int(time.time()), "messageId": message_id}
    foreign = MessageIds.of(hooks.rest.world.settings).make(1, 7, "globex", 0)
    others = [
        {**good, "messageId": wrong}
        for wrong in (foreign, message_id.upper(), "x", "\0", "é" * 36, None, 7)
    ]
    assert (
        await hooks.post(
            "sendgrid",
            signing.sendgrid(
                [{}, 5, *others, good, {**good, "event": "open"}, {**good, "timestamp": None}]
            ),
        )
        == 204
    )
    assert await hooks.events() == [
        ("delivered", message_id),
        ("delivered", message_id),  # whose time could not be read
        ("opened", message_id),
    ]


async def test_what_a_record_or_the_calendar_cannot_hold_fails_nothing(hooks: Hooks) -> None:
    message_id = await hooks.message()
    clicked: dict[str, Any] = {
        "type": "clicked",
        "messageId": message_id,
        "timestamp": "2026-01-28T09:00:00Z",
        "data": {"url": ""},
    }
    room = (1 << 20) - len(signing.standard([clicked])[1])
    assert (
        await hooks.post("standard", signing.standard([{**clicked, "data": {"url": "x" * room}}]))
        == 204
    )
    said = {"type": "received", "data": {"channel": "sms", "address": PHONE, "text": "STOP"}}
    for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59-10:00"):
        assert await hooks.post("standard", signing.standard([{**said, "timestamp": at}])) == 204
    assert await hooks.events() == [("clicked", message_id)]
    assert await hooks.suppressed() == {("sms", PHONE, "unsubscribed")}


async def test_a_signature_that_does_not_fit_is_401_and_changes_nothing(hooks: Hooks) -> None:
    for name in SETTINGS:
        message_id = await hooks.message("sms" if name == "twilio" else "email")
        headers, body = hooks.about(name, message_id, "unsubscribed")
        params = {"messageId": message_id} if name == "twilio" else {}
        if name == "mailgun":
            headers, body = signing.mailgun(
                {"event": "unsubscribed", "user-variables": {"messageId": message_id}},
                secret="another",
            )
        elif name == "ses":
            body = body.replace(b'"TopicArn": "arn', b'"TopicArn": "arm')
        else:
            body += b" "
        assert await hooks.post(name, (headers, body), **params) == 401, name
    late = signing.sendgrid([], at=time.time() - 26 * 3600)
    answer = await hooks.provider.post("/webhooks/sendgrid/acme", headers=late[0], content=late[1])
    assert problem(answer, 401)["type"] == "urn:campaigns:problem:signature"
    assert (
        await hooks.post(
            "twilio", hooks.twilio({"MessageStatus": "delivered"}), messageId="another"
        )
        == 401
    )  # another address
    assert (await hooks.events(), await hooks.suppressed()) == ([], set())


async def test_a_token_of_mailgun_stands_for_one_event(hooks: Hooks) -> None:
    one, other = await hooks.message(), await hooks.message()

    def opened(message_id: str) -> dict[str, Any]:
        return {
            "event": "opened",
            "timestamp": 1_769_590_800,
            "user-variables": {"messageId": message_id},
        }

    at = time.time()
    assert await hooks.post("mailgun", signing.mailgun(opened(one), at)) == 204
    assert await hooks.post("mailgun", signing.mailgun(opened(other), at)) == 406
    assert (
        await hooks.post("mailgun", signing.mailgun(opened(one), at)) == 204
    )  # Mailgun did not hear our answer
    assert await hooks.post("mailgun", signing.mailgun(opened(other), at, token="another")) == 204
    assert set(await hooks.events()) == {("opened", one), ("opened", other)}


async def test_what_cannot_be_used_has_its_own_answer(quiet_hooks: Hooks) -> None:
    hooks = quiet_hooks
    nothing: signing.Signed = ({}, b"")
    assert (
        await hooks.post("postmark", nothing)
        == await hooks.post("sendgrid", nothing, tenant="nobody")
        == 404
    )
    assert (
        await hooks.post("sendgrid", nothing, tenant="globex")
        == await hooks.post("sendgrid", nothing, tenant="A%00")
        == 404
    )
    headers, body = signing.standard("x" * (1 << 20))
    assert await hooks.post("standard", (headers, body)) == 413
    for body in (b"{", b"\xff", b"[" * 9_000):
        assert await hooks.post("mailgun", ({}, body)) == 406  # where 400 would be repeated
        assert await hooks.post("ses", ({}, body)) == 400
    assert (
        await hooks.post("twilio", ({}, b"\xff=1"))
        == await hooks.post("twilio", ({}, b"a=1&" * 600))
        == 400
    )
    assert (await hooks.provider.get("/webhooks/sendgrid/acme")).status_code == 405


async def test_without_kafka_nothing_is_answered_as_kept(quiet_hooks: Hooks) -> None:
    hooks = quiet_hooks
    answer = await hooks.provider.post(
        "/webhooks/standard/acme",
        headers=(about := hooks.about("standard", await hooks.message()))[0],
        content=about[1],
    )
    assert problem(answer, 503) and answer.headers["retry-after"]
    assert await hooks.post("standard", signing.standard([])) == 204  # nothing to keep


async def test_many_at_once_lose_nothing(hooks: Hooks) -> None:
    messages = [await hooks.message() for _ in range(3)]

    async def reported(name: str, message: str) -> None:
        """As providers do, again after a 503: no connection was free for two seconds."""
        while (answer := await hooks.reported(name, message)) == 503:
            pass
        assert answer == 204

    await asyncio.gather(
        *(
            reported(name, messages[n % 3])
            for n, name in enumerate(["standard", "mailgun", "sendgrid"] * 20)
        )
    )
    assert len(await hooks.events()) == 60
