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

from connectors.webhooks.delivery import Delivery, Read, SignatureError, check_age, equal, reason
from connectors.webhooks.forms import Form, UnparsableError, form
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_providers import of_mailgun_failure
from streams.records.reported_events import Details

_LONGEST_TOKEN = 200
# It repeats a webhook for eight hours, …/user-manual/webhooks/webhook-retries, with the signature
# of the first attempt (github.com/PostHog/posthog/issues/103057). A kept token is no danger.
RETRIED = timedelta(hours=9)


def verify(delivery: Delivery, secret: str, now: datetime, tolerance: timedelta) -> tuple[str, str]:
    """Returns the token with the digest of its event; the order of the event's fields does not
    matter. Raises SignatureError, UnparsableError.
    """
    webhook = form(delivery.body)
    block = webhook.form("signature")
    timestamp, token = block.spelled("timestamp"), block.text("token")
    if not (webhook.has("event-data") and block.has("token") and block.has("signature")):
        raise UnparsableError("The body has no signature, or no event-data.")
    signed = (timestamp + token).encode("utf-8", "replace")
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not equal(block.text("signature"), expected):
        raise SignatureError("The signature does not fit the timestamp and the token.")
    if len(token) > _LONGEST_TOKEN or "\0" in token:
        raise SignatureError("The token is none of Mailgun's.")
    check_age(timestamp, now, tolerance, RETRIED)
    return token, hashlib.sha256(webhook.form("event-data").encoded()).hexdigest()


def read(delivery: Delivery, now: datetime) -> Read:
    """Raises UnparsableError when the body is no JSON."""
    found = Read(now)
    event = form(delivery.body).form("event-data")
    if event.text("event"):
        _add(found, event)
    else:
        found.unusable += 1
    return found


def _add(found: Read, event: Form) -> None:
    message_id = event.form("user-variables").text("messageId")
    at, url = event.at("timestamp"), event.text("url") or None
    machine = Details(is_machine=True, url=url) if event.form("client-info").text("bot") else None
    match event.text("event"), event.text("severity"):
        case "accepted", _:
            found.add("accepted", message_id, at, event)
        case "delivered", _:
            found.add("delivered", message_id, at, event)
        case "opened", _:
            found.add("opened", message_id, at, event, machine)
        case "clicked", _:
            found.add("clicked", message_id, at, event, machine or Details(url=url))
        case "failed", "permanent":
            _failed(found, event, message_id, at)
        case "rejected", _:
            why = event.form("reject").text("reason") or event.text("reason")
            found.add_cause(Cause.NOT_SENT, message_id, at, event, reason(why))
        case "complained", _:
            found.add_cause(Cause.COMPLAINED, message_id, at, event)
        case "unsubscribed", _:
            found.add_cause(Cause.UNSUBSCRIBED, message_id, at, event)
        case _:  # stored, a failure that is tried again
            found.ignored += 1


def _failed(found: Read, event: Form, message_id: str, at: datetime | None) -> None:
    status, named = event.form("delivery-status"), event.text("reason")
    said = status.text("message") or status.text("description")
    enhanced = status.text("enhanced-code") or status.text("bounce-code")
    cause = of_mailgun_failure(named, status.spelled("code"), enhanced, said)
    is_answer = cause is not Cause.ALREADY_SUPPRESSED  # else Mailgun's own sentence about its list
    why = reason(status.spelled("code"), said or named) if is_answer else reason(named)
    found.add_cause(cause, message_id, at, event, why)
