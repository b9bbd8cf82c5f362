"""SendGrid's signed event webhook: ECDSA P-256 over timestamp and raw body, and the meaning of its
events.

docs.sendgrid.com/for-developers/tracking-events/getting-started-event-webhook-security-features and
…/event. Our id is a custom argument `messageId`, which SendGrid puts among an event's own fields.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from connectors.webhooks.delivery import (
    Delivery,
    Read,
    SignatureError,
    check_age,
    each,
    elements,
    instant,
    reason,
)
from streams.records.reported_events import Details

_SIGNATURE = "x-twilio-email-event-webhook-signature"
_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"


class _Event(msgspec.Struct, frozen=True):
    event: str
    timestamp: int | float | str
    message_id: str | None = msgspec.field(default=None, name="messageId")
    reason: str | None = None
    status: str | None = None
    type: str | None = None
    url: str | None = None
    sg_machine_open: bool = False


def public_key(text: str) -> ec.EllipticCurvePublicKey:
    """Reads the verification key as SendGrid shows it (base64 of DER), or as PEM. Raises
    ValueError.
    """
    try:
        key = (
            load_pem_public_key(text.encode())
            if "-----BEGIN" in text
            else load_der_public_key(base64.b64decode(text, validate=True))
        )
    except (ValueError, binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("no public key in base64 DER or PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ValueError("not a key of the curve P-256")
    return key


def verify(delivery: Delivery, key: str, now: datetime, tolerance: timedelta) -> None:
    """Raises SignatureError."""
    timestamp = delivery.headers.get(_TIMESTAMP, "")
    try:
        signature = base64.b64decode(delivery.headers.get(_SIGNATURE, ""), validate=True)
        public_key(key).verify(signature, timestamp.encode() + delivery.body, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError, binascii.Error) as error:
        raise SignatureError("The signature does not fit the body.") from error
    check_age(timestamp, now, tolerance)


def read(delivery: Delivery) -> Read:
    """Raises UnparsableError when the body is no JSON."""
    found = Read()
    for event in each(elements(delivery.body), _Event, found):
        at = instant(event.timestamp)
        if at is None:
            found.unusable += 1
            continue
        _add(found, event, at)
    return found


def _add(found: Read, event: _Event, at: str) -> None:
    why = reason(event.status, event.reason)
    match event.event:
        case "delivered":
            found.add("delivered", event.message_id, at)
        case "open":
            found.add(
                "opened",
                event.message_id,
                at,
                Details(is_machine=True) if event.sg_machine_open else None,
            )
        case "click":
            found.add("clicked", event.message_id, at, Details(url=event.url))
        case "bounce":  # "blocked": refused this time, by a server or a filter
            details = Details(reason=why, bounce_type="soft" if event.type == "blocked" else "hard")
            found.add("bounced", event.message_id, at, details)
        case "dropped":
            found.add("failed", event.message_id, at, Details(reason=why))
        case "spamreport":
            found.add("complained", event.message_id, at)
        case "unsubscribe" | "group_unsubscribe":
            found.add("unsubscribed", event.message_id, at)
        case _:  # processed, deferred, group_resubscribe, and kinds of later years
            found.ignored += 1
