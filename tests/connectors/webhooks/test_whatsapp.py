"""What WhatsApp's Cloud API reports, and what recipients say and prefer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.webhooks import whatsapp
from connectors.webhooks.delivery import Delivery, Read, SignatureError
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import ID, NOW, SECONDS, shown


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"status": "delivered"}, [("delivered", {})]),
        ({"status": "read"}, [("opened", {})]),
        (
            {"status": "failed", "errors": [{"code": 131026, "title": "Message undeliverable"}]},
            [("bounced", {"reason": "131026 Message undeliverable", "bounceType": "hard"})],
        ),
        (
            {"status": "failed", "errors": [{"code": 131050, "title": "t"}]},
            [("unsubscribed", {}), ("failed", {"reason": "131050 t"})],
        ),
        ({"status": "failed"}, [("failed", {})]),
        ({"status": "sent"}, []),
    ],
    ids=["delivered", "read", "undeliverable", "opted out", "failed", "sent"],
)
def test_whatsapp_statuses(status: dict[str, Any], expected: object) -> None:
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
        shown(one) for one in whatsapp.read(Delivery({}, signing.whatsapp(value)[1])).reported
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
    found = whatsapp.read(Delivery({}, signing.whatsapp(value)[1]))
    assert [(said.is_stop, said.is_reply) for said in found.said] == [
        (True, True),
        (False, True),
        (True, True),
        (True, False),
    ]
    assert {said.address for said in found.said} == {"+4915112345678"} and {
        said.at for said in found.said
    } == {NOW}
    assert {said.channel for said in found.said} == {"whatsapp"}
    assert found.unusable == 1


def _read(**value: Any) -> Read:
    return whatsapp.read(Delivery({}, signing.whatsapp(value)[1]))


def test_a_preference_to_stop_is_a_message_that_is_no_reply() -> None:
    stop = {"wa_id": "49151", "value": "stop", "timestamp": SECONDS}
    found = _read(user_preferences=[stop, {**stop, "value": "resume"}, {**stop, "timestamp": "x"}])
    assert [(said.identity, said.address, said.is_stop, said.is_reply) for said in found.said] == [
        (f"49151:{SECONDS}", "+49151", True, False)
    ]
    assert found.unusable == 1


@pytest.mark.parametrize("timestamp", ["soon", "", 10**30, "1.5"])
def test_a_status_or_message_without_a_time_is_unusable(timestamp: object) -> None:
    status = {"status": "read", "timestamp": timestamp, "biz_opaque_callback_data": ID}
    message = {"from": "49151", "id": "w", "timestamp": timestamp}
    found = _read(statuses=[status], messages=[message])
    assert found.said == []
    assert len(found.reported) + found.unusable == 2
    assert found.unusable == (1 if timestamp == "1.5" else 2)  # a status may name fractions


def test_every_error_of_a_failure_is_in_its_reason_and_the_hard_one_counts() -> None:
    errors = [{"code": 1, "title": "a"}, {"code": 131026, "title": "b"}]
    status = {"timestamp": SECONDS, "biz_opaque_callback_data": ID, "errors": errors}
    (found,) = _read(statuses=[{**status, "status": "failed"}]).reported
    assert shown(found) == ("bounced", {"reason": "1 a 131026 b", "bounceType": "hard"})
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


def test_the_text_of_a_message_comes_before_the_button_under_it() -> None:
    message = {"from": "49151", "id": "w", "timestamp": SECONDS}
    both = {**message, "text": {"body": "hello"}, "button": {"text": "STOP"}}
    assert [said.is_stop for said in _read(messages=[both]).said] == [False]


def test_one_bad_entry_or_change_spoils_no_other() -> None:
    good = {"field": "messages", "value": {"statuses": [{"status": "sent", "timestamp": 1}]}}
    entries = [1, {"changes": [{"field": "x"}, good]}, {"changes": 7}, {"changes": [good]}]
    found = whatsapp.read(Delivery({}, json.dumps({"entry": entries}).encode()))
    assert (found.ignored, found.unusable) == (2, 3)


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
