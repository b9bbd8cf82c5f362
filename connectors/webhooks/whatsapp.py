"""WhatsApp Cloud API: HMAC-SHA-256 of the raw body with the app's secret, the challenge that sets
the address up, statuses and messages.

developers.facebook.com/docs/graph-api/webhooks/getting-started and
…/docs/whatsapp/cloud-api/webhooks/components. Our id is `biz_opaque_callback_data` of the message.
Meta signs no time; a repeat counts nothing twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from connectors.webhooks.delivery import (
    Delivery,
    Read,
    Said,
    SignatureError,
    each,
    equal,
    instant,
    parsed,
    reason,
)
from connectors.webhooks.stop_words import is_stop
from streams.records.reported_events import Details

_SIGNATURE = "x-hub-signature-256"
# developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
_HARD = frozenset({131026})  # undeliverable: no WhatsApp user, or one who cannot receive this
_OPTED_OUT = frozenset({131050})  # the person has stopped marketing messages


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    title: str = ""


class _Status(msgspec.Struct, frozen=True):
    status: str
    timestamp: str | int
    biz_opaque_callback_data: str | None = None
    errors: list[_Error] = []


class _Text(msgspec.Struct, frozen=True):
    body: str = ""


class _Button(msgspec.Struct, frozen=True):
    text: str = ""


class _Message(msgspec.Struct, frozen=True):
    sender: str = msgspec.field(name="from")
    id: str
    timestamp: str | int
    text: _Text = _Text()
    button: _Button = _Button()


class _Preference(msgspec.Struct, frozen=True):
    wa_id: str
    value: str
    timestamp: str | int
    category: str = ""


class _Value(msgspec.Struct, frozen=True):
    statuses: list[msgspec.Raw] = []
    messages: list[msgspec.Raw] = []
    user_preferences: list[msgspec.Raw] = []


class _Change(msgspec.Struct, frozen=True):
    value: _Value
    field: str = ""


class _Entry(msgspec.Struct, frozen=True):
    changes: list[msgspec.Raw] = []


class _Webhook(msgspec.Struct, frozen=True):
    entry: list[msgspec.Raw]


def verify(delivery: Delivery, secret: str) -> None:
    """Raises SignatureError."""
    expected = "sha256=" + hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
    if not equal(delivery.headers.get(_SIGNATURE, ""), expected):
        raise SignatureError("The signature does not fit the body.")


def challenge(query: Mapping[str, str], verify_token: str) -> str:
    """Returns the text that Meta expects when it is told our address. Raises SignatureError."""
    if query.get("hub.mode") != "subscribe" or not equal(
        query.get("hub.verify_token", ""), verify_token
    ):
        raise SignatureError("The verify token is wrong.")
    return query.get("hub.challenge", "")


def read(delivery: Delivery) -> Read:
    """Raises UnparsableError when the body is none of WhatsApp's."""
    found = Read()
    for entry in each(parsed(delivery.body, _Webhook).entry, _Entry, found):
        for change in each(entry.changes, _Change, found):
            for status in each(change.value.statuses, _Status, found):
                _status(found, status)
            for message in each(change.value.messages, _Message, found):
                text = message.text.body or message.button.text
                _said(found, message.sender, message.timestamp, message.id, is_stop(text))
            for preference in each(change.value.user_preferences, _Preference, found):
                if preference.value == "stop":
                    _said(
                        found,
                        preference.wa_id,
                        preference.timestamp,
                        f"{preference.wa_id}:{preference.timestamp}",
                        True,
                        is_reply=False,
                    )
    return found


def _said(
    found: Read,
    wa_id: str,
    timestamp: str | int,
    identity: str,
    wants_out: bool,
    *,
    is_reply: bool = True,
) -> None:
    try:
        at = datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        found.unusable += 1
        return
    found.said.append(Said("whatsapp", f"+{wa_id}", at, identity, wants_out, is_reply))


def _status(found: Read, status: _Status) -> None:
    message_id, at = status.biz_opaque_callback_data, instant(status.timestamp)
    if at is None:
        found.unusable += 1
        return
    codes = {error.code for error in status.errors}
    why = reason(*(f"{error.code} {error.title}" for error in status.errors))
    if codes & _OPTED_OUT:
        found.add("unsubscribed", message_id, at)
    match status.status:
        case "delivered":
            found.add("delivered", message_id, at)
        case "read":
            found.add("opened", message_id, at)
        case "failed" if codes & _HARD:
            found.add("bounced", message_id, at, Details(reason=why, bounce_type="hard"))
        case "failed":
            found.add("failed", message_id, at, Details(reason=why))
        case _:  # sent, deleted
            found.ignored += 1
