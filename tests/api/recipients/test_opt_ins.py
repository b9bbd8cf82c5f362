"""Opting in again lifts what the same way had set, in whatever order and how often it is reported,
and never a complaint, a bounce or an entry of the tenant's own.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.records.facts import Batch, Kind
from streams.records.message_id import MessageIds, recipient
from tables.audience.projection import merge
from tables.audience.recipient_updates import RecipientUpdates
from tables.campaigns.numbers import CampaignNumbers
from tests.agents.counting.recipient_rows import group
from tests.api.recipients.hooks import ADDRESS, PHONE, Hooks
from tests.api.recipients.reported import dead_letters
from tests.connectors.webhooks import webhook_signing as signing
from tests.postgres import sql

_COUNT = iter(range(1_000_000))


async def _text(hooks: Hooks, body: str, sid: str | None = None, **more: str) -> None:
    form = {"MessageSid": sid or f"SM{next(_COUNT)}", "SmsStatus": "received", "From": PHONE}
    assert await hooks.post("twilio", hooks.twilio({**form, "Body": body, **more})) == 204


async def _chat(hooks: Hooks, text: str, at: float, sender: str = PHONE[1:]) -> None:
    said = {"from": sender, "id": f"w{next(_COUNT)}", "timestamp": str(int(at))}
    value = {"messages": [{**said, "text": {"body": text}}]}
    assert await hooks.post("whatsapp", signing.whatsapp(value)) == 204


async def _left(hooks: Hooks) -> list[tuple[str, str]]:
    """(channel, reason) of every suppression, of addresses and of contacts."""
    rows = await sql(hooks.rest.world.pool).fetch(
        "SELECT channel::text, reason FROM suppressions ORDER BY 1, 2"
    )
    return [(row["channel"], row["reason"]) for row in rows]


async def _project(hooks: Hooks, message_id: str, kind: Kind, at: float) -> None:
    """What the projection makes of the event, seconds later."""
    number, ordinal = recipient(message_id)
    updates, numbers = RecipientUpdates(MessageIds.of(hooks.rest.world.settings)), CampaignNumbers()
    async with hooks.rest.world.pool.transaction() as session:
        await numbers.load(session, [number])
        known = numbers.get(number)
        assert known is not None
        updates.add(Batch("acme", number, 0, int(at), (group(kind, [ordinal]),)), known)
        await merge(session, updates, "test", "facts", {})


@pytest.mark.parametrize("word", ["START", "Unstop"])
async def test_start_lifts_what_stop_had_set_on_that_channel(hooks: Hooks, word: str) -> None:
    message_id = await hooks.message("sms")
    said_at = time.time()
    await _text(hooks, "STOP")
    await _chat(hooks, "STOP", said_at)
    assert ("sms", "unsubscribed") in await _left(hooks)
    await _text(hooks, word)
    # the projection brings the same no once more, later
    await _project(hooks, message_id, Kind.UNSUBSCRIBED, said_at)
    assert {channel for channel, _ in await _left(hooks)} == {"whatsapp"}
    await _text(hooks, "STOP")  # and no again
    assert ("sms", "unsubscribed") in await _left(hooks)


async def test_what_twilio_has_understood_lifts_too(hooks: Hooks) -> None:
    await _text(hooks, "nada", OptOutType="STOP")
    await _text(hooks, "sí", OptOutType="START")
    assert await _left(hooks) == []


async def test_a_repeat_of_either_changes_nothing_that_was_said_in_between(hooks: Hooks) -> None:
    await _text(hooks, "STOP", "SM-a")
    await _text(hooks, "START", "SM-b")
    await _text(hooks, "STOP", "SM-a")  # Twilio repeats what it had not heard our answer to
    assert await _left(hooks) == []
    await _text(hooks, "STOP", "SM-c")
    await _text(hooks, "START", "SM-b")
    assert await _left(hooks) == [("sms", "unsubscribed")]


async def test_the_later_word_holds_in_whatever_order_they_arrive(hooks: Hooks) -> None:
    now = time.time()
    await _chat(hooks, "START", now - 10)
    await _chat(hooks, "STOP", now - 20)
    assert await _left(hooks) == []
    await _chat(hooks, "STOP", now - 5)
    await _chat(hooks, "START", now - 10)
    assert await _left(hooks) == [("whatsapp", "unsubscribed")]
    await _chat(hooks, "STOP", now)
    await _chat(hooks, "START", now - 3)  # between the two
    assert await _left(hooks) == [("whatsapp", "unsubscribed")]


async def test_times_of_an_unset_clock_are_those_of_arrival(hooks: Hooks) -> None:
    for at in (0, 1_000, 4_000_000_000):
        await _chat(hooks, "STOP", at)
        assert await _left(hooks) == [("whatsapp", "unsubscribed")]
        await _chat(hooks, "START", at)
        assert await _left(hooks) == []


_MANUAL = {"channel": "sms", "address": PHONE}


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("what", ["manual", "own-unsubscribed", "complaint", "hard"])
async def test_start_lifts_nothing_that_others_have_set(
    hooks: Hooks, order: str, what: str
) -> None:
    message_id = await hooks.message("sms")

    async def other() -> None:
        event = {"messageId": message_id, "timestamp": datetime.now(UTC).isoformat()}
        if what in ("manual", "own-unsubscribed"):
            reason = "manual" if what == "manual" else "unsubscribed"
            answer = await hooks.rest.admin.post(
                "/suppressions", json={**_MANUAL, "reason": reason}
            )
            assert answer.status_code in (200, 201)
        else:
            kind = {"type": "complained"} if what == "complaint" else {"type": "bounced"}
            more = {"data": {"bounceType": "hard"}} if what == "hard" else {}
            signed = signing.standard([{**event, **kind, **more}])
            assert await hooks.post("standard", signed) == 204

    if order == "before":
        await other()
    await _text(hooks, "STOP")
    if order == "after":
        await other()
    await _text(hooks, "START")
    assert ("sms", PHONE) in {(one, address) for one, address, _ in await hooks.suppressed()}


async def test_a_complaint_in_the_same_webhook_is_never_lifted(hooks: Hooks) -> None:
    message_id = await hooks.message()
    now = int(time.time())
    event = {"messageId": message_id, "timestamp": now}
    kinds = ("unsubscribe", "spamreport", "unsubscribe", "group_resubscribe")
    batch = [{**event, "event": kind} for kind in kinds]
    assert await hooks.post("sendgrid", signing.sendgrid(batch)) == 204
    assert {reason for _, reason in await _left(hooks)} == {"complained"}


async def test_sendgrids_and_ses_resubscriptions_lift_their_own(hooks: Hooks) -> None:
    message_id, now = await hooks.message(), int(time.time())
    event = {"messageId": message_id, "timestamp": now}

    def topics(is_in: bool) -> dict[str, Any]:
        return {
            "topicSubscriptionStatus": [{"topicName": "t", "subscriptionStatus": _WORDS[is_in]}]
        }

    def changed(is_in: bool, seconds: int) -> signing.Signed:
        at = datetime.fromtimestamp(now + seconds, UTC).isoformat()
        mail = {"timestamp": at, "tags": {"messageId": [message_id]}}
        what = {"newTopicPreferences": topics(is_in), "oldTopicPreferences": topics(not is_in)}
        report = {"eventType": "Subscription", "mail": mail}
        return signing.sns({**report, "subscription": {"timestamp": at, **what}})

    assert await hooks.post("ses", changed(False, 0)) == 204
    assert ("email", ADDRESS, "unsubscribed") in await hooks.suppressed()
    assert (
        await hooks.post("sendgrid", signing.sendgrid([{**event, "event": "group_resubscribe"}]))
        == 204
    )
    assert await _left(hooks) != []  # another way
    assert await hooks.post("ses", changed(True, 1)) == 204
    assert await _left(hooks) == []
    group_out = {**event, "event": "group_unsubscribe", "timestamp": now + 2}
    assert await hooks.post("sendgrid", signing.sendgrid([group_out])) == 204
    assert await _left(hooks) != []
    back = {**event, "event": "group_resubscribe", "timestamp": now + 3}
    assert await hooks.post("sendgrid", signing.sendgrid([back])) == 204
    assert await _left(hooks) == []


_WORDS = {True: "OptIn", False: "OptOut"}


async def test_a_link_in_the_mail_is_another_way(hooks: Hooks) -> None:
    message_id, now = await hooks.message(), int(time.time())
    assert (await hooks.provider.post(hooks.unsubscribe(message_id))).status_code == 200
    event = {"event": "resubscribe", "messageId": message_id, "timestamp": now + 60}
    assert await hooks.post("sendgrid", signing.sendgrid([event])) == 204
    assert ("email", ADDRESS, "unsubscribed") in await hooks.suppressed()


async def test_a_preference_resumed_lifts_the_one_that_stopped(hooks: Hooks) -> None:
    for value in ("stop", "resume"):
        preference = {"wa_id": PHONE[1:], "value": value, "timestamp": int(time.time())}
        assert (
            await hooks.post("whatsapp", signing.whatsapp({"user_preferences": [preference]}))
            == 204
        )
        assert bool(await _left(hooks)) is (value == "stop")


_USER = "US.13491208655302741918"


async def _hidden(hooks: Hooks, text: str, **more: str) -> None:
    said = {"id": f"w{next(_COUNT)}", "timestamp": str(int(time.time())), "from_user_id": _USER}
    value = {"messages": [{**said, **more, "text": {"body": text}}]}
    assert await hooks.post("whatsapp", signing.whatsapp(value)) == 204


async def test_a_person_who_hides_the_number_says_stop_and_start_by_an_id(hooks: Hooks) -> None:
    await _hidden(hooks, "hello", **{"from": PHONE[1:]})  # names both, before the number is hidden
    await _hidden(hooks, "STOP")
    rows = await sql(hooks.rest.world.pool).fetch("SELECT contact_id, address FROM suppressions")
    assert {(row["contact_id"], row["address"]) for row in rows} == {
        (hooks.contact, None),  # whatever number it has
        (None, _USER),
    }
    assert await dead_letters(hooks.rest.world.settings) == []
    await _hidden(hooks, "START")
    assert await _left(hooks) == []


async def test_a_stop_by_an_id_that_nobody_is_known_to_have_is_kept_and_told(hooks: Hooks) -> None:
    await _hidden(hooks, "STOP")
    assert await hooks.suppressed() == {("whatsapp", _USER, "unsubscribed")}
    (letter,) = await dead_letters(hooks.rest.world.settings)
    assert letter["code"] == "no-contact"


async def test_both_addresses_of_a_person_are_suppressed(hooks: Hooks) -> None:
    await _hidden(hooks, "STOP", **{"from": PHONE[1:]})
    assert {(one, address) for one, address, _ in await hooks.suppressed()} == {
        ("whatsapp", PHONE),
        ("whatsapp", _USER),
    }
    await _text(hooks, "hello")  # SMS is another channel
    assert {channel for channel, _ in await _left(hooks)} == {"whatsapp"}


async def test_an_id_is_an_address_of_whatsapp_and_of_no_other_channel(hooks: Hooks) -> None:
    for channel, status in (("whatsapp", 201), ("sms", 422), ("email", 422)):
        body = {"channel": channel, "address": f" {_USER} "}
        assert (await hooks.rest.admin.post("/suppressions", json=body)).status_code == status
    assert await hooks.suppressed() == {("whatsapp", _USER, "manual")}


@pytest.mark.parametrize(
    ("kept", "reported"),
    [
        ("+541112345678", "5491112345678"),  # Argentina's 9 for calls from abroad
        ("+5491112345678", "541112345678"),
        ("+525512345678", "5215512345678"),  # Mexico's old 1
    ],
)
async def test_either_spelling_of_a_number_says_stop_and_start(
    hooks: Hooks, kept: str, reported: str
) -> None:
    await sql(hooks.rest.world.pool).execute(
        "UPDATE contacts SET phone = $1 WHERE id = $2", kept, hooks.contact
    )
    message_id, said_at = await hooks.message("whatsapp"), time.time()
    await _chat(hooks, "STOP", said_at, reported)
    assert len(await _left(hooks)) == 2  # of the address and of the contact
    await _chat(hooks, "START", said_at + 1, reported)
    await _project(hooks, message_id, Kind.UNSUBSCRIBED, said_at)
    assert await _left(hooks) == []
    await _hidden(hooks, "hello", **{"from": reported})
    await _hidden(hooks, "STOP")
    assert await dead_letters(hooks.rest.world.settings) == []  # its contact is known
