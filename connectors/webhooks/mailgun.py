"""Mailgun's webhooks: HMAC-SHA-256 over timestamp and token, and the meaning of its events.

documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks and
…/events/event-structure. The signature does not cover the body, so an observed signature could be
sent with another body. Therefore a token counts for the first event that it came with, and for no
other. Our id is the user variable `messageId`. Mailgun retries after a temporary failure, so that
is no bounce yet.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.webhooks.delivery import (
    Delivery,
    Read,
    SignatureError,
    check_age,
    equal,
    instant,
    parsed,
    reason,
)
from streams.records.reported_events import Details

_LONGEST_TOKEN = 200


class _Signature(msgspec.Struct, frozen=True):
    timestamp: str | int
    token: str
    signature: str


class _Webhook(msgspec.Struct, frozen=True):
    signature: _Signature
    event: msgspec.Raw = msgspec.field(name="event-data")


class _Status(msgspec.Struct, frozen=True):
    code: int | str | None = None
    message: str | None = None
    description: str | None = None


class _Client(msgspec.Struct, frozen=True):
    bot: str | None = None


class _Event(msgspec.Struct, frozen=True, rename="kebab"):
    event: str
    timestamp: int | float | str
    user_variables: dict[str, Any] = {}
    severity: str | None = None
    reason: str | None = None
    delivery_status: _Status = _Status()
    client_info: _Client = _Client()
    url: str | None = None


def verify(delivery: Delivery, secret: str, now: datetime, tolerance: timedelta) -> tuple[str, str]:
    """Returns the token with the digest of its event; the order of the event's fields does not
    matter. Raises SignatureError, UnparsableError.
    """
    webhook = parsed(delivery.body, _Webhook)
    signature, timestamp = webhook.signature, str(webhook.signature.timestamp)
    signed = (timestamp + signature.token).encode("utf-8", "replace")
    if not equal(
        signature.signature, hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    ):
        raise SignatureError("The signature does not fit the timestamp and the token.")
    if len(signature.token) > _LONGEST_TOKEN or "\0" in signature.token:
        raise SignatureError("The token is none of Mailgun's.")
    check_age(timestamp, now, tolerance)
    event = msgspec.json.encode(parsed(webhook.event, dict[str, Any]), order="sorted")
    return signature.token, hashlib.sha256(event).hexdigest()


def read(delivery: Delivery) -> Read:
    """Raises UnparsableError when the body is no JSON."""
    found = Read()
    try:
        event = msgspec.json.decode(parsed(delivery.body, _Webhook).event, type=_Event)
    except msgspec.DecodeError:
        found.unusable += 1
        return found
    if (at := instant(event.timestamp)) is None:
        found.unusable += 1
    else:
        _add(found, event, at)
    return found


def _add(found: Read, event: _Event, at: str) -> None:
    ours = event.user_variables.get("messageId")
    message_id = ours if isinstance(ours, str) else None
    machine = Details(is_machine=True, url=event.url) if event.client_info.bot else None
    match event.event, event.severity:
        case "delivered", _:
            found.add("delivered", message_id, at)
        case "opened", _:
            found.add("opened", message_id, at, machine)
        case "clicked", _:
            found.add("clicked", message_id, at, machine or Details(url=event.url))
        case "failed", "permanent":
            _failed(found, event, message_id, at)
        case "rejected", _:
            found.add("failed", message_id, at, Details(reason=reason(event.reason)))
        case "complained", _:
            found.add("complained", message_id, at)
        case "unsubscribed", _:
            found.add("unsubscribed", message_id, at)
        case _:  # accepted, stored, a failure that is tried again
            found.ignored += 1


def _failed(found: Read, event: _Event, message_id: str | None, at: str) -> None:
    status = event.delivery_status
    why = reason(status.code, status.message or status.description or event.reason)
    match event.reason:
        case (
            "suppress-bounce" | "suppress-unsubscribe" | "suppress-complaint"
        ):  # never sent: Mailgun's own list refused it
            found.add("failed", message_id, at, Details(reason=reason(event.reason)))
        case "old":  # tried for hours in vain
            found.add("bounced", message_id, at, Details(reason=why, bounce_type="soft"))
        case _:
            found.add("bounced", message_id, at, Details(reason=why, bounce_type="hard"))
