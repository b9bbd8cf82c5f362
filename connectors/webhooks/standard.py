"""Standard Webhooks (standardwebhooks.com), for every provider and pipeline without a format of its
own here.

The signature is HMAC-SHA-256 over `id.timestamp.body`; while a key is being changed,
`webhook-signature` may hold several, separated by spaces. The body is one event of
`pipeline.events.v1` or an array of them, `{"type", "messageId", "timestamp", "data"}`; the type may
be spelled `message.delivered`, and the id may stand in `data`. A message from a recipient is
`{"type": "received", "timestamp", "data": {"channel", "address", "text", "id"}}`; who has
subscribed again is `{"type": "resubscribed", "messageId", "timestamp"}`. Every attempt is signed
with its own time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Literal, cast, get_args

from connectors.webhooks.delivery import (
    Delivery,
    InboundMessage,
    Read,
    SignatureError,
    check_age,
    equal,
    reason,
)
from connectors.webhooks.forms import Form, elements
from connectors.webhooks.opt_words import wish
from streams.records.reported_events import Details, IncomingType

_TYPES = frozenset(get_args(IncomingType))
_BOUNCES: Mapping[str, Literal["hard", "soft"]] = {"hard": "hard", "soft": "soft"}


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


def signature(key: bytes, identity: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`; `timestamp` is a Unix time in seconds."""
    signed = f"{identity}.{timestamp}.".encode("utf-8", "replace") + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def verify(delivery: Delivery, secret: str, now: datetime, tolerance: timedelta) -> None:
    """Raises SignatureError."""
    identity, timestamp = (
        delivery.headers.get("webhook-id", ""),
        delivery.headers.get("webhook-timestamp", ""),
    )
    expected = signature(key(secret), identity, timestamp, delivery.body)
    given = delivery.headers.get("webhook-signature", "").split(" ")
    if not identity or not any(equal(one, expected) for one in given):
        raise SignatureError("No signature fits id, timestamp and body.")
    check_age(timestamp, now, tolerance)


def read(delivery: Delivery, now: datetime, own: Collection[str] = ()) -> Read:
    """Raises UnparsableError when the body is no JSON."""
    found = Read(now)
    identity = delivery.headers.get("webhook-id", "")
    for position, event in enumerate(found.forms(elements(delivery.body))):
        if event.text("type"):
            _add(found, event, f"{identity}:{position}", own)
        else:
            found.unusable += 1
    return found


def _add(found: Read, event: Form, identity: str, own: Collection[str]) -> None:
    data, kind = event.form("data"), event.text("type").removeprefix("message.")
    at = event.at("timestamp")
    if kind == "received":
        meant = wish([data.text("text")], own)
        channel, address = data.text("channel") or "sms", data.text("address")
        name = data.text("id") or identity
        found.said.append(
            InboundMessage(channel, address, at or found.now, name, meant, meant is None, "", event)
        )
    elif kind in _TYPES:
        details = Details(
            reason(data.text("reason")),
            _BOUNCES.get(data.text("bounceType")),
            data.text("url") or None,
            data.is_true("isMachine"),
        )
        message_id = event.text("messageId") or data.text("messageId")
        found.add(cast("IncomingType", kind), message_id, at, event, details)
    elif kind == "resubscribed":
        found.resume(event.text("messageId") or data.text("messageId"), at)
    else:
        found.ignored += 1
