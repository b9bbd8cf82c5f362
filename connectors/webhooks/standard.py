"""Standard Webhooks (standardwebhooks.com), for every provider and pipeline without a format of its
own here.

The signature is HMAC-SHA-256 over `id.timestamp.body`; while a key is being changed,
`webhook-signature` may hold several, separated by spaces. The body is one event of
`pipeline.events.v1` or an array of them, `{"type", "messageId", "timestamp", "data"}`; the type may
be spelled `message.delivered`, and the id may stand in `data`. A message from a recipient is
`{"type": "received", "timestamp", "data": {"channel", "address", "text", "id"}}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Literal, cast, get_args

import msgspec

from connectors.webhooks.delivery import (
    Delivery,
    Read,
    Said,
    SignatureError,
    check_age,
    each,
    elements,
    equal,
    reason,
)
from connectors.webhooks.stop_words import is_stop
from streams.records.reported_events import Details, IncomingType

_TYPES = frozenset(get_args(IncomingType))


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str | None = None
    reason: str | None = None
    bounce_type: Literal["hard", "soft"] | None = None
    url: str | None = None
    is_machine: bool = False
    channel: Literal["sms", "whatsapp", "email", "push"] = "sms"
    address: str = ""
    text: str = ""
    id: str = ""


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    type: str
    timestamp: datetime
    message_id: str | None = None
    data: _Details = _Details()


def key(secret: str) -> bytes:
    """Decodes `whsec_` and base64 of 24 to 64 bytes, as the standard spells a key. Raises
    ValueError.
    """
    try:
        found = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError("whsec_ and base64") from error
    if not 24 <= len(found) <= 64:
        raise ValueError("24 to 64 bytes")
    return found


def verify(delivery: Delivery, secret: str, now: datetime, tolerance: timedelta) -> None:
    """Raises SignatureError."""
    identity, timestamp = (
        delivery.headers.get("webhook-id", ""),
        delivery.headers.get("webhook-timestamp", ""),
    )
    signed = f"{identity}.{timestamp}.".encode("utf-8", "replace") + delivery.body
    expected = (
        "v1," + base64.b64encode(hmac.new(key(secret), signed, hashlib.sha256).digest()).decode()
    )
    given = delivery.headers.get("webhook-signature", "").split(" ")
    if not identity or not any(equal(signature, expected) for signature in given):
        raise SignatureError("No signature fits id, timestamp and body.")
    check_age(timestamp, now, tolerance)


def read(delivery: Delivery) -> Read:
    """Raises UnparsableError when the body is no JSON."""
    found = Read()
    identity = delivery.headers.get("webhook-id", "")
    for position, event in enumerate(each(elements(delivery.body), _Event, found)):
        if event.timestamp.tzinfo is None:
            found.unusable += 1
        else:
            _add(found, event, f"{identity}:{position}")
    return found


def _add(found: Read, event: _Event, identity: str) -> None:
    data, kind = event.data, event.type.removeprefix("message.")
    if kind == "received":
        said = Said(
            data.channel, data.address, event.timestamp, data.id or identity, is_stop(data.text)
        )
        found.said.append(said)
    elif kind in _TYPES:
        details = Details(reason(data.reason), data.bounce_type, data.url, data.is_machine)
        found.add(
            cast("IncomingType", kind),
            event.message_id or data.message_id,
            event.timestamp.isoformat(),
            details,
        )
    else:
        found.ignored += 1
