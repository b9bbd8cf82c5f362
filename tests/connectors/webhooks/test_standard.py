"""What Standard Webhooks report: our own words, one event or many."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from connectors.webhooks import standard
from connectors.webhooks.delivery import Delivery, SignatureError, Wish
from streams.records.reported_events import Details, IncomingType
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import AT, ID, NOW


def test_standard_webhooks_speak_our_words() -> None:
    plain = {
        "type": "bounced",
        "messageId": ID,
        "timestamp": "2026-01-28T09:00:00Z",
        "data": {"reason": "full", "bounceType": "soft"},
    }
    nested = {
        "type": "message.opened",
        "timestamp": "2026-01-28T10:00:00+01:00",
        "data": {"messageId": ID, "isMachine": True},
    }
    said = {
        "type": "received",
        "timestamp": AT,
        "data": {"channel": "sms", "address": "+15005550006", "text": "unsubscribe"},
    }
    bad: list[object] = [{"timestamp": AT}, {"type": None, "messageId": ID}, 1]
    body = json.dumps(
        [plain, nested, said, {**plain, "type": "sent"}, {**plain, "messageId": None}, *bad]
    ).encode()
    found = standard.read(Delivery({"webhook-id": "msg_1"}, body), NOW)
    assert [
        (one.type, one.message_id, datetime.fromisoformat(one.timestamp)) for one in found.reported
    ] == [
        ("bounced", ID, NOW),
        ("opened", ID, NOW),
    ]
    assert (found.ignored, found.unusable) == (2, 3)
    assert (found.said[0].address, found.said[0].wish, found.said[0].identity) == (
        "+15005550006",
        Wish.STOP,
        "msg_1:2",
    )
    assert len(standard.read(Delivery({}, json.dumps(plain).encode()), NOW).reported) == 1


@pytest.mark.parametrize(
    ("size", "is_right"), [(23, False), (24, True), (64, True), (65, False), (0, False)]
)
@pytest.mark.parametrize("prefix", ["whsec_", ""])
def test_a_key_is_base64_of_24_to_64_bytes(size: int, is_right: bool, prefix: str) -> None:
    secret = prefix + base64.b64encode(b"k" * size).decode()
    if is_right:
        assert standard.key(secret) == b"k" * size
    else:
        with pytest.raises(ValueError, match=r"^24 to 64 bytes$"):
            standard.key(secret)


@pytest.mark.parametrize("secret", ["whsec_!", "whsec_abc", "é" * 32, "whsec_AAAA AAAA"])
def test_a_key_that_is_no_base64_says_so(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^whsec_ and base64$"):
        standard.key(secret)


def _verified(**changed: str | None) -> None:
    headers, body = signing.standard([])
    lowered: dict[str, str | None] = {name.lower(): value for name, value in headers.items()}
    lowered |= {f"webhook-{name}": value for name, value in changed.items()}
    given = {name: value for name, value in lowered.items() if value is not None}
    now, tolerance = datetime.now(UTC), timedelta(minutes=5)
    standard.verify(Delivery(given, body), signing.STANDARD_SECRET, now, tolerance)


def test_one_of_several_signatures_is_enough_while_a_key_is_changed() -> None:
    _verified()
    right = signing.standard([])[0]["Webhook-Signature"].split(" ")[1]
    _verified(signature=f"v1,AAAA v2,BBBB {right}")


@pytest.mark.parametrize(
    "changed",
    [
        {"signature": None},
        {"signature": ""},
        {"id": "msg_2"},
        {"id": None},
        {"id": "\udc80"},  # no Unicode, and no error of ours
        {"timestamp": None},
        {"timestamp": "1"},
    ],
)
def test_id_time_and_signature_are_all_needed_as_they_were_signed(
    changed: dict[str, str | None],
) -> None:
    with pytest.raises(SignatureError, match="No signature fits"):
        _verified(**changed)


def test_an_empty_id_is_none_even_when_it_is_signed() -> None:
    headers, body = signing.standard([], identity="")
    lowered = {name.lower(): value for name, value in headers.items()}
    with pytest.raises(SignatureError, match="No signature fits"):
        standard.verify(
            Delivery(lowered, body),
            signing.STANDARD_SECRET,
            datetime.now(UTC),
            timedelta(minutes=5),
        )


@pytest.mark.parametrize("kind", get_args(IncomingType))
@pytest.mark.parametrize("prefix", ["", "message."])
def test_every_word_of_ours_is_known_with_and_without_its_prefix(kind: str, prefix: str) -> None:
    event = {"type": prefix + kind, "timestamp": AT, "messageId": ID}
    (found,) = standard.read(Delivery({}, json.dumps(event).encode()), NOW).reported
    assert (found.type, found.details) == (kind, Details())


def test_the_id_beside_the_type_comes_before_the_one_in_the_data() -> None:
    event = {"type": "opened", "timestamp": AT, "messageId": ID, "data": {"messageId": "other"}}
    (found,) = standard.read(Delivery({}, json.dumps(event).encode()), NOW).reported
    assert found.message_id == ID


def test_a_message_of_a_recipient_is_named_by_its_id_or_by_its_place() -> None:
    said = {"type": "message.received", "timestamp": AT, "data": {"text": "x", "address": "+1"}}
    named = {**said, "data": {"id": "m1", "channel": "whatsapp"}}
    found = standard.read(Delivery({"webhook-id": "w"}, json.dumps([said, named]).encode()), NOW)
    assert [(one.identity, one.channel, one.address) for one in found.said] == [
        ("w:0", "sms", "+1"),
        ("m1", "whatsapp", ""),
    ]
