"""What WhatsApp's Cloud API reports, and what recipients say and prefer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.webhooks import whatsapp
from connectors.webhooks.delivery import Delivery, Read, SignatureError, Wish
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import AT, ID, NOW, SECONDS, shown


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"status": "delivered"}, [("delivered", {})]),
        ({"status": "read"}, [("opened", {})]),
        (
            {"status": "failed", "errors": [{"code": 131026, "title": "Message undeliverable"}]},
            [("bounced", {"reason": "131026 Message undeliverable", "bounceType": "soft"})],
        ),
        (
            {"status": "failed", "errors": [{"code": 131050, "title": "t"}]},
            [("unsubscribed", {}), ("failed", {"reason": "131050 t"})],
        ),
        ({"status": "failed"}, [("failed", {})]),
        ({"status": "sent"}, [("accepted", {})]),
        ({"status": "deleted"}, []),
    ],
    ids=["delivered", "read", "undeliverable", "opted out", "failed", "sent", "deleted"],
)
def test_a_status_of_whatsapp_is_read_in_our_words(
    status: dict[str, Any], expected: object
) -> None:
    value = {
        "statuses": [
            {
                "id": "wamid.1",
                "timestamp": str(SECONDS),
                "recipient_id": "49151",
                "biz_opaque_callback_data": ID,
                **status,
            }
        ]
    }
    assert [
        shown(one) for one in whatsapp.read(Delivery({}, signing.whatsapp(value)[1]), NOW).reported
    ] == expected


def test_whatsapp_messages_and_preferences() -> None:
    message = {"from": "4915112345678", "id": "wamid.2", "timestamp": str(SECONDS), "type": "text"}
    value = {
        "messages": [
            {**message, "text": {"body": "STOP"}},
            {**message, "type": "image"},
            {**message, "button": {"text": "Stop"}},
            {"id": 1},
        ],
        "user_preferences": [
            {
                "wa_id": "4915112345678",
                "value": "stop",
                "category": "marketing_messages",
                "timestamp": SECONDS,
            }
        ],
    }
    found = whatsapp.read(Delivery({}, signing.whatsapp(value)[1]), NOW)
    assert [(said.wish, said.is_reply, said.address[1:]) for said in found.said] == [
        (Wish.STOP, False, message["from"]),
        (None, True, message["from"]),
        (Wish.STOP, False, message["from"]),
        (None, True, ""),
        (Wish.STOP, False, message["from"]),
    ]
    assert {said.at for said in found.said} == {NOW}
    assert {said.channel for said in found.said} == {"whatsapp"}


def _read(**value: Any) -> Read:
    return whatsapp.read(Delivery({}, signing.whatsapp(value)[1]), NOW)


def test_a_preference_to_stop_is_a_message_that_is_no_reply() -> None:
    stop = {"wa_id": "49151", "value": "stop", "timestamp": SECONDS}
    found = _read(user_preferences=[stop, {**stop, "value": "resume"}, {**stop, "value": "x"}])
    assert [(said.identity, said.address, said.wish, said.is_reply) for said in found.said] == [
        (f"49151:{SECONDS}", "+49151", Wish.STOP, False),
        (f"49151:{SECONDS}", "+49151", Wish.START, False),
    ]
    assert found.ignored == 1


@pytest.mark.parametrize("timestamp", ["soon", "", 10**30, None, [], True])
def test_a_status_or_message_without_a_time_happened_when_it_arrived(timestamp: object) -> None:
    status = {"status": "read", "timestamp": timestamp, "biz_opaque_callback_data": ID}
    message = {"from": "49151", "id": "w", "timestamp": timestamp}
    found = _read(statuses=[status], messages=[message])
    assert [one.timestamp for one in found.reported] == [AT]
    assert [said.at for said in found.said] == [NOW]


_PLACES: list[dict[str, Any]] = [
    {"type": "text", "text": {"body": "Arrêt !"}},
    {"type": "button", "button": {"text": "Stop promotions", "payload": "p"}},
    {"type": "interactive", "interactive": {"button_reply": {"id": "1", "title": "STOP"}}},
    {"type": "interactive", "interactive": {"list_reply": {"id": "1", "title": "Baja"}}},
    {"type": "image", "image": {"caption": "ｓｔｏｐ 🛑", "id": "1"}},
    {"type": "video", "video": {"caption": "STOPP"}},
    {"type": "document", "document": {"caption": "parar"}},
    {"text": {"body": "hello"}, "button": {"text": "STOP"}},
]


@pytest.mark.parametrize("content", _PLACES, ids=lambda one: one.get("type", "both"))
def test_a_wish_is_heard_wherever_a_text_can_stand(content: dict[str, Any]) -> None:
    message = {"from": "49151", "id": "w", "timestamp": SECONDS}
    assert [said.wish for said in _read(messages=[message | content]).said] == [Wish.STOP]


@pytest.mark.parametrize(
    "content",
    [
        {"type": "system", "system": {"type": "user_changed_number", "body": "STOP"}},
        {"type": "reaction", "reaction": {"emoji": "🛑"}},
        {"type": "unsupported", "errors": [{"code": 131051}]},
    ],
    ids=lambda one: one["type"],
)
def test_what_no_person_says_is_no_reply(content: dict[str, Any]) -> None:
    message = {"from": "49151", "id": "w", "timestamp": SECONDS}
    assert [(s.wish, s.is_reply) for s in _read(messages=[message | content]).said] == [
        (None, False)
    ]


_USER = "US.13491208655302741918"


def test_a_person_without_a_number_is_heard_by_the_id_that_whatsapp_gives() -> None:
    stop = {"id": "w", "timestamp": SECONDS, "text": {"body": "STOP"}}
    hello = {**stop, "text": {"body": "hello"}}
    wanted = {"value": "stop", "timestamp": SECONDS, "user_id": _USER}
    contacts = [{"user_id": _USER, "profile": {"username": "@ana"}}]

    def heard(**value: Any) -> list[tuple[str, str, Wish | None, bool]]:
        found = _read(**value).said
        return [(said.address, said.user_id, said.wish, said.is_reply) for said in found]

    assert heard(messages=[{**stop, "from_user_id": _USER}]) == [(_USER, _USER, Wish.STOP, False)]
    assert heard(messages=[stop], contacts=contacts) == [(_USER, _USER, Wish.STOP, False)]
    assert heard(messages=[{**hello, "from_user_id": _USER}]) == [(_USER, _USER, None, True)]
    assert heard(user_preferences=[wanted]) == [(_USER, _USER, Wish.STOP, False)]
    both = {"from": "49151", "from_user_id": _USER}
    assert heard(messages=[stop | both]) == [("+49151", _USER, Wish.STOP, False)]
    assert heard(messages=[hello | both]) == [("+49151", _USER, None, True)]


def test_every_error_of_a_failure_is_in_its_reason_and_the_gravest_counts() -> None:
    errors = [{"code": 1, "title": "a"}, {"code": 131026, "title": "b"}]
    status = {"timestamp": SECONDS, "biz_opaque_callback_data": ID, "errors": errors}
    (found,) = _read(statuses=[{**status, "status": "failed"}]).reported
    assert shown(found) == ("bounced", {"reason": "1 a 131026 b", "bounceType": "soft"})
    assert _read(statuses=[{**status, "status": "deleted"}]).ignored == 1


@pytest.mark.parametrize(
    ("error", "why"), [({"title": "t"}, "0 t"), ({"code": 5}, "5"), ({}, "0")], ids=str
)
def test_an_error_without_code_or_title_is_told_by_what_it_has(
    error: dict[str, Any], why: str
) -> None:
    status = {"status": "failed", "timestamp": SECONDS, "biz_opaque_callback_data": ID}
    (found,) = _read(statuses=[{**status, "errors": [error]}]).reported
    assert shown(found) == ("failed", {"reason": why})


def test_one_bad_entry_or_change_spoils_no_other() -> None:
    good = {"field": "messages", "value": {"statuses": [{"status": "sent", "timestamp": 1}]}}
    entries = [1, {"changes": [{"field": "x"}, good]}, {"changes": 7}, {"changes": [good]}]
    found = whatsapp.read(Delivery({}, json.dumps({"entry": entries}).encode()), NOW)
    assert (found.ignored, found.unusable) == (2, 2)


def test_a_status_without_our_id_is_ignored() -> None:
    assert _read(statuses=[{"status": "delivered", "timestamp": SECONDS}]).ignored == 1


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ({"hub.mode": "subscribe", "hub.verify_token": "t", "hub.challenge": "7"}, "7"),
        ({"hub.mode": "subscribe", "hub.verify_token": "t"}, ""),
        ({"hub.mode": "subscribe", "hub.challenge": "7"}, None),
        ({"hub.mode": "unsubscribe", "hub.verify_token": "t"}, None),
        ({"hub.verify_token": "t"}, None),
    ],
)
def test_only_a_subscription_with_our_token_reads_its_challenge_back(
    query: dict[str, str], answer: str | None
) -> None:
    if answer is not None:
        assert whatsapp.challenge(query, "t") == answer
    else:
        with pytest.raises(SignatureError, match=r"^The verify token is wrong\.$"):
            whatsapp.challenge(query, "t")
