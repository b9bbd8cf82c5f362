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
from datetime import datetime
from urllib.parse import parse_qsl

from connectors.webhooks.delivery import (
    Delivery,
    Read,
    Said,
    SignatureError,
    UnparsableError,
    equal,
    reason,
)
from connectors.webhooks.stop_words import is_stop
from streams.contracts.envelope import rfc3339
from streams.records.reported_events import Details

_MOST_FIELDS = 500
# Errors after which trying this number again is useless; www.twilio.com/docs/api/errors
_HARD = frozenset(
    {"21211", "21614", "30005", "30006", "63024"}
)  # invalid, no mobile, unknown, landline, no WhatsApp user
_OPTED_OUT = frozenset(
    {"21610", "63032"}
)  # has said STOP to Twilio itself; WhatsApp user has opted out of marketing


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


def read(delivery: Delivery, now: datetime) -> Read:
    """Reads the callback. Twilio names no time, so events get `now`. Raises UnparsableError."""
    found, form = Read(), dict(fields(delivery.body))
    status = form.get("MessageStatus") or form.get("SmsStatus") or ""
    if status == "received" or ("Body" in form and "MessageStatus" not in form):
        _said(found, form, now)
    else:
        _status(
            found, status, form.get("ErrorCode", ""), delivery.query.get("messageId"), rfc3339(now)
        )
    return found


def _said(found: Read, form: dict[str, str], now: datetime) -> None:
    sender, identity = (
        form.get("From", ""),
        form.get("MessageSid") or form.get("SmsMessageSid") or form.get("SmsSid") or "",
    )
    channel = "whatsapp" if sender.startswith("whatsapp:") else "sms"
    wants_out = form.get("OptOutType") == "STOP" or is_stop(form.get("Body", ""))
    found.said.append(Said(channel, sender.removeprefix("whatsapp:"), now, identity, wants_out))


def _status(found: Read, status: str, code: str, message_id: str | None, at: str) -> None:
    why = reason(code and f"error {code}")
    if code in _OPTED_OUT:
        found.add("unsubscribed", message_id, at)
    match status:
        case "delivered":
            found.add("delivered", message_id, at)
        case "read":  # WhatsApp
            found.add("opened", message_id, at)
        case "undelivered":
            found.add(
                "bounced",
                message_id,
                at,
                Details(reason=why, bounce_type="hard" if code in _HARD else "soft"),
            )
        case "failed" if code in _HARD:
            found.add("bounced", message_id, at, Details(reason=why, bounce_type="hard"))
        case "failed":
            found.add("failed", message_id, at, Details(reason=why))
        case _:  # accepted, queued, sending, sent
            found.ignored += 1
