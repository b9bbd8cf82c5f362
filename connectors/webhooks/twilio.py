"""Twilio: HMAC-SHA-1 over the exact public URL and the sorted form fields; status callbacks and
inbound messages of SMS and WhatsApp.

www.twilio.com/docs/usage/security#validating-requests,
…/messaging/guides/track-outbound-message-status and …/messaging/twiml. Our id travels in the query
string of the status callback's address, `?messageId=…`. Twilio signs no time; a repeat counts
nothing twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection
from datetime import datetime
from urllib.parse import parse_qsl

from connectors.webhooks.delivery import (
    Delivery,
    InboundMessage,
    Read,
    SignatureError,
    Wish,
    equal,
    reason,
)
from connectors.webhooks.forms import Form, UnparsableError
from connectors.webhooks.meaning import twilio_codes
from connectors.webhooks.opt_words import wish

_MOST_FIELDS = 500
# Where a person's text can stand: the text, a quick reply, a choice from a list;
# www.twilio.com/docs/messaging/guides/webhook-request
_TEXTS = ("Body", "ButtonText", "ListTitle")
# What Twilio has understood itself, …/messaging/tutorials/advanced-opt-out
_UNDERSTOOD = {"STOP": Wish.STOP, "START": Wish.START}


def fields(body: bytes) -> list[tuple[str, str]]:
    """Decodes the form. Raises UnparsableError."""
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise UnparsableError("The body is no form.") from error


def verify(delivery: Delivery, secret: str) -> None:
    """Raises SignatureError, UnparsableError."""
    signed = delivery.url + "".join(
        name + value for name, value in sorted(set(fields(delivery.body)))
    )
    expected = base64.b64encode(
        hmac.new(secret.encode(), signed.encode("utf-8", "replace"), hashlib.sha1).digest()
    ).decode()
    if not equal(delivery.headers.get("x-twilio-signature", ""), expected):
        raise SignatureError(
            "The signature does not fit address and fields."
            " Is CAMPAIGNS_PUBLIC_URL the address that Twilio calls?"
        )


def read(delivery: Delivery, now: datetime, own: Collection[str] = ()) -> Read:
    """Reads the callback. Twilio names no time, so events get `now`. Raises UnparsableError."""
    found, callback = Read(now), Form(dict(fields(delivery.body)))
    status = callback.text("MessageStatus") or callback.text("SmsStatus")
    is_message = callback.has("Body") and not callback.has("MessageStatus")
    if status == "received" or is_message:
        found.said.append(_said(callback, now, own))
    else:
        _status(found, status, callback, delivery.query.get("messageId", ""))
    return found


def _said(callback: Form, now: datetime, own: Collection[str]) -> InboundMessage:
    kind, _, address = callback.text("From").rpartition(":")
    names = ("MessageSid", "SmsMessageSid", "SmsSid")
    identity = next(filter(None, map(callback.text, names)), "")
    meant = _UNDERSTOOD.get(callback.text("OptOutType")) or wish(map(callback.text, _TEXTS), own)
    channel = "whatsapp" if kind == "whatsapp" else "sms"  # rcs: is a phone number, too
    return InboundMessage(channel, address, now, identity, meant, meant is None, "", callback)


def _status(found: Read, status: str, callback: Form, message_id: str) -> None:
    code = callback.text("ErrorCode")
    match status:
        case "accepted" | "queued" | "sending" | "sent":
            found.add("accepted", message_id, found.now, callback)
        case "delivered":
            found.add("delivered", message_id, found.now, callback)
        case "read":  # WhatsApp
            found.add("opened", message_id, found.now, callback)
        case "undelivered" | "failed":
            why = reason(code and f"error {code}")
            cause = twilio_codes.cause_of(code, status)
            found.add_cause(cause, message_id, found.now, callback, why)
        case _:  # scheduled, canceled
            found.ignored += 1
