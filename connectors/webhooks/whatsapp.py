"""WhatsApp Cloud API: HMAC-SHA-256 of the raw body with the app's secret, the challenge that sets
the address up, statuses and messages.

developers.facebook.com/docs/graph-api/webhooks/getting-started and
…/documentation/business-messaging/whatsapp/webhooks/reference/messages. Our id is
`biz_opaque_callback_data` of the message. Meta signs no time; a repeat counts nothing twice.

A person whose number is hidden behind a username has only a business-scoped user id, such as
`US.13491208655302741918` (…/whatsapp/business-scoped-user-ids): `from_user_id` of a message,
`user_id` of a preference. It is an address of this channel like a number.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from connectors.webhooks.delivery import (
    Delivery,
    InboundMessage,
    Read,
    SignatureError,
    Wish,
    equal,
    reason,
)
from connectors.webhooks.forms import Form, UnparsableError, form
from connectors.webhooks.meaning import whatsapp_codes
from connectors.webhooks.opt_words import wish

_SIGNATURE = "x-hub-signature-256"
# Messages that say nothing: notices of WhatsApp, such as a changed number, and reactions.
_NO_REPLIES = frozenset({"system", "reaction", "unsupported", "unknown", "request_welcome"})
_CAPTIONED = ("image", "video", "document")
_PREFERENCES = {"stop": Wish.STOP, "resume": Wish.START}


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


def read(delivery: Delivery, now: datetime, own: Collection[str] = ()) -> Read:
    """Raises UnparsableError when the body is none of WhatsApp's."""
    found, webhook = Read(now), form(delivery.body)
    if not webhook.has("entry"):
        raise UnparsableError("The body is none of WhatsApp's: it has no entry.")
    for entry in found.forms(webhook.items("entry")):
        for change in found.forms(entry.items("changes")):
            value = change.form("value")
            for status in found.forms(value.items("statuses")):
                _status(found, status)
            for message in found.forms(value.items("messages")):
                _message(found, message, value, own)
            for preference in found.forms(value.items("user_preferences")):
                _preference(found, preference)
    return found


def _message(found: Read, message: Form, value: Form, own: Collection[str]) -> None:
    contacts = value.forms("contacts")
    only = contacts[0].text("user_id") if len(contacts) == 1 else ""
    is_reply = message.text("type") not in _NO_REPLIES
    meant = wish(_texts(message), own) if is_reply else None
    user_id = message.text("from_user_id") or only
    _say(found, message, message.text("from"), user_id, message.text("id"), meant, is_reply)


def _texts(message: Form) -> Iterator[str]:
    """Wherever the text of a person can stand."""
    yield message.form("text").text("body")
    yield message.form("button").text("text")
    for kind in ("button_reply", "list_reply"):
        yield message.form("interactive").form(kind).text("title")
    for kind in _CAPTIONED:
        yield message.form(kind).text("caption")


def _preference(found: Read, preference: Form) -> None:
    meant = _PREFERENCES.get(preference.text("value").lower())
    if meant is None:
        found.ignored += 1
        return
    number, user_id = preference.text("wa_id"), preference.text("user_id")
    identity = f"{number or user_id}:{preference.spelled('timestamp')}"
    _say(found, preference, number, user_id, identity, meant, is_reply=False)


def _say(
    found: Read,
    source: Form,
    number: str,
    user_id: str,
    identity: str,
    meant: Wish | None,
    is_reply: bool,
) -> None:
    address = f"+{number.removeprefix('+')}" if number else user_id
    at, reply = source.at("timestamp") or found.now, is_reply and meant is None
    said = InboundMessage("whatsapp", address, at, identity, meant, reply, user_id, source)
    found.said.append(said)


def _status(found: Read, status: Form) -> None:
    message_id, at = status.text("biz_opaque_callback_data"), status.at("timestamp")
    match status.text("status"):
        case "sent":  # from Meta's servers
            found.add("accepted", message_id, at, status)
        case "delivered":
            found.add("delivered", message_id, at, status)
        case "read":
            found.add("opened", message_id, at, status)
        case "failed":
            errors = status.forms("errors")
            named = (f"{one.spelled('code') or '0'} {one.text('title')}" for one in errors)
            cause = whatsapp_codes.cause_of(one.spelled("code") for one in errors)
            found.add_cause(cause, message_id, at, status, reason(*named))
        case _:  # deleted
            found.ignored += 1
