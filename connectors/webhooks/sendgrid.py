"""SendGrid's signed event webhook: ECDSA P-256 over timestamp and raw body, and the meaning of its
events.

docs.sendgrid.com/for-developers/tracking-events/getting-started-event-webhook-security-features and
…/event. Our id is a custom argument `messageId`, which SendGrid puts among an event's own fields.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from connectors.webhooks.delivery import Delivery, Read, SignatureError, check_age, reason
from connectors.webhooks.forms import Form, elements
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_providers import of_sendgrid_bounce, of_sendgrid_drop
from streams.records.reported_events import Details

# It repeats for 24 hours after an event, and does not say that it signs again:
# docs.sendgrid.com/for-developers/tracking-events/getting-started-event-webhook, "Retry logic".
RETRIED = timedelta(hours=25)
_SIGNATURE = "x-twilio-email-event-webhook-signature"
_TIMESTAMP = "x-twilio-email-event-webhook-timestamp"


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
    check_age(timestamp, now, tolerance, RETRIED)


def read(delivery: Delivery, now: datetime) -> Read:
    """Raises UnparsableError when the body is no JSON."""
    found = Read(now)
    for event in found.forms(elements(delivery.body)):
        _add(found, event)
    return found


def _add(found: Read, event: Form) -> None:
    message_id, at = event.text("messageId"), event.at("timestamp")
    answer = event.spelled("status"), event.text("reason")
    match event.text("event"):
        case "processed":
            found.add("accepted", message_id, at, event)
        case "delivered":
            found.add("delivered", message_id, at, event)
        case "open":
            machine = Details(is_machine=True) if event.is_true("sg_machine_open") else None
            found.add("opened", message_id, at, event, machine)
        case "click":
            found.add("clicked", message_id, at, event, Details(url=event.text("url") or None))
        case "bounce":
            kind, named = event.text("type"), event.text("bounce_classification")
            cause = of_sendgrid_bounce(kind, named, *answer)
            found.add_cause(cause, message_id, at, event, reason(*answer))
        case "dropped":
            cause = of_sendgrid_drop(event.text("reason"))
            found.add_cause(cause, message_id, at, event, reason(*answer))
        case "spamreport":
            found.add_cause(Cause.COMPLAINED, message_id, at, event)
        case "unsubscribe" | "group_unsubscribe":
            found.add_cause(Cause.UNSUBSCRIBED, message_id, at, event)
        case "resubscribe" | "group_resubscribe":
            found.resume(message_id, at)
        case _:  # deferred, and kinds of later years
            found.ignored += 1
