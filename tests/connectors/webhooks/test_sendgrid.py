"""What SendGrid reports, in our words; one bad element spoils no other."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from connectors.webhooks import sendgrid
from connectors.webhooks.delivery import Delivery, SignatureError
from streams.records.reported_events import Details
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import ID, NOW, SECONDS, the_only


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "processed"}, ("accepted", {})),
        ({"event": "delivered"}, ("delivered", {})),
        ({"event": "open"}, ("opened", {})),
        ({"event": "open", "sg_machine_open": True}, ("opened", {"isMachine": True})),
        (
            {"event": "click", "url": "https://a.example/"},
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            {
                "event": "bounce",
                "type": "bounce",
                "status": "5.1.1",
                "reason": "550 <ana@example.com> unknown",
            },
            ("bounced", {"reason": "5.1.1 550 <<address>> unknown", "bounceType": "hard"}),
        ),
        (
            {"event": "bounce", "type": "blocked", "reason": "busy"},
            ("bounced", {"reason": "busy", "bounceType": "soft"}),
        ),
        (
            {"event": "dropped", "reason": "Bounced Address"},
            ("failed", {"reason": "Bounced Address"}),
        ),
        ({"event": "spamreport"}, ("complained", {})),
        ({"event": "unsubscribe"}, ("unsubscribed", {})),
        ({"event": "group_unsubscribe"}, ("unsubscribed", {})),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_an_event_of_sendgrid_is_read_in_our_words(event: dict[str, Any], expected: object) -> None:
    body = json.dumps(
        [{"email": "ana@example.com", "timestamp": SECONDS, "messageId": ID, **event}]
    ).encode()
    assert the_only(sendgrid.read(Delivery({}, body), NOW)) == expected


def test_one_bad_element_of_a_batch_never_drops_the_rest() -> None:
    good = {"event": "delivered", "timestamp": SECONDS, "messageId": ID}
    bad: list[object] = [7, None, "text", [good]]
    others = [
        {**good, "messageId": None},
        {**good, "event": "deferred"},
        {**good, "event": "from the future"},
        {**good, "messageId": 5},
        {},
    ]
    found = sendgrid.read(Delivery({}, json.dumps([good, *bad, *others, good]).encode()), NOW)
    assert (len(found.reported), found.unusable, found.ignored) == (2, len(bad), len(others))


def _pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_the_key_may_be_pasted_as_sendgrid_shows_it_or_as_pem() -> None:
    shown = sendgrid.public_key(signing.sendgrid_key())
    assert sendgrid.public_key(_pem(shown)).public_numbers() == shown.public_numbers()
    headers, body = signing.sendgrid([])
    lowered = {name.lower(): value for name, value in headers.items()}
    sendgrid.verify(Delivery(lowered, body), _pem(shown), datetime.now(UTC), timedelta(minutes=5))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "no public key in base64 DER or PEM"),
        ("AAAA", "no public key in base64 DER or PEM"),
        ("not base64!", "no public key in base64 DER or PEM"),
        ("-----BEGIN PUBLIC KEY-----", "no public key in base64 DER or PEM"),
        ("é", "no public key in base64 DER or PEM"),
        (
            _pem(ec.generate_private_key(ec.SECP384R1()).public_key()),
            "not a key of the curve P-256",
        ),
        (_pem(ed25519.Ed25519PrivateKey.generate().public_key()), "not a key of the curve P-256"),
    ],
    ids=["nothing", "no DER", "no base64", "half PEM", "no ASCII", "P-384", "Ed25519"],
)
def test_what_is_no_key_of_sendgrids_kind_says_so(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}$"):
        sendgrid.public_key(text)


@pytest.mark.parametrize("header", ["signature", "timestamp"])
def test_a_webhook_without_one_of_its_headers_is_refused(header: str) -> None:
    headers, body = signing.sendgrid([])
    kept = {name.lower(): value for name, value in headers.items() if header not in name.lower()}
    with pytest.raises(SignatureError, match="does not fit the body"):
        sendgrid.verify(
            Delivery(kept, body), signing.sendgrid_key(), datetime.now(UTC), timedelta(minutes=5)
        )


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ({"event": "bounce"}, Details(bounce_type="hard")),
        ({"event": "bounce", "type": "expired"}, Details(bounce_type="soft")),
        ({"event": "click"}, Details()),
        ({"event": "dropped", "status": "5.0.0"}, Details(reason="5.0.0")),
        ({"event": "open", "sg_machine_open": False}, None),
    ],
)
def test_details_are_what_is_known_and_no_more(
    event: dict[str, Any], details: Details | None
) -> None:
    body = json.dumps({"timestamp": SECONDS, "messageId": ID, **event}).encode()
    (found,) = sendgrid.read(Delivery({}, body), NOW).reported
    assert found.details == details


def test_base64_with_other_characters_in_it_is_no_base64() -> None:
    key = signing.sendgrid_key()
    with pytest.raises(ValueError, match="base64"):
        sendgrid.public_key(key[:8] + "!" + key[8:])
    headers, body = signing.sendgrid([])
    lowered = {name.lower(): value for name, value in headers.items()}
    name = "x-twilio-email-event-webhook-signature"
    lowered[name] = lowered[name][:8] + "!" + lowered[name][8:]
    with pytest.raises(SignatureError):
        sendgrid.verify(Delivery(lowered, body), key, datetime.now(UTC), timedelta(minutes=5))
