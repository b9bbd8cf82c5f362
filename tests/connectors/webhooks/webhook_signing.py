"""Webhooks as the providers make them, signed with keys made here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

TOPIC = "arn:aws:sns:eu-central-1:123456789012:ses-events"
CERTIFICATE_URL = (
    "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
)
SECRET = "a secret that only the provider knows"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"standard webhooks key of 32 bytes").decode()
Signed = tuple[dict[str, str], bytes]  # headers, body
_CURVE_KEY = ec.generate_private_key(ec.SECP256R1())
_RSA_KEY = rsa.generate_private_key(65537, 2048)


def sendgrid_key() -> str:
    """As SendGrid shows it."""
    return base64.b64encode(
        _CURVE_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()


def sns_certificate() -> bytes:
    """PEM of the certificate that SNS would serve."""
    name, now = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")]),
        datetime.now(UTC),
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_RSA_KEY.public_key())
        .serial_number(1)
    )
    valid = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(
        now + timedelta(days=1)
    )
    return valid.sign(_RSA_KEY, SHA256()).public_bytes(Encoding.PEM)


def sendgrid(events: object, at: float | None = None) -> Signed:
    """Of events, or of bytes as they are."""
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    timestamp = str(int(time.time() if at is None else at))
    signature = base64.b64encode(
        _CURVE_KEY.sign(timestamp.encode() + body, ec.ECDSA(SHA256()))
    ).decode()
    return {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    }, body


def mailgun(
    event: Mapping[str, Any], at: float | None = None, token: str = "t0k3n", secret: str = SECRET
) -> Signed:
    timestamp = str(int(time.time() if at is None else at))
    signature = hmac.new(secret.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    signed = {"timestamp": timestamp, "token": token, "signature": signature}
    return {"Content-Type": "application/json"}, json.dumps(
        {"signature": signed, "event-data": event}
    ).encode()


def twilio(url: str, form: Mapping[str, str], secret: str = SECRET) -> Signed:
    signed = url + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(
        hmac.new(secret.encode(), signed.encode(), hashlib.sha1).digest()
    ).decode()
    return {
        "X-Twilio-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }, urlencode(form).encode()


def whatsapp(value: Mapping[str, Any], secret: str = SECRET) -> Signed:
    entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    return {
        "X-Hub-Signature-256": "sha256="
        + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    }, body


def standard(
    events: object, at: float | None = None, identity: str = "msg_1", secret: str = STANDARD_SECRET
) -> Signed:
    """Of events, or of bytes as they are."""
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    timestamp = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(
        hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    ).decode()
    return {
        "Webhook-Id": identity,
        "Webhook-Timestamp": timestamp,
        "Webhook-Signature": f"v1,AAAA v1,{signature}",
    }, body


def sns(
    message: object, kind: str = "Notification", version: str = "2", topic: str = TOPIC, **more: str
) -> Signed:
    """What SNS posts around a message of SES, or a request to confirm a subscription."""
    fields = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": topic,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-01-28T09:00:00.000Z",
        **more,
    }
    if kind != "Notification":
        fields |= {
            "Token": "2336412f37",
            "SubscribeURL": "https://sns.eu-central-1.amazonaws.com/"
            "?Action=ConfirmSubscription&Token=2336412f37",
        }
    text = "".join(f"{name}\n{fields[name]}\n" for name in sorted(fields)).encode()
    signature = _RSA_KEY.sign(text, padding.PKCS1v15(), SHA1() if version == "1" else SHA256())
    signed = {
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": CERTIFICATE_URL,
    }
    return {"Content-Type": "text/plain; charset=UTF-8"}, json.dumps(fields | signed).encode()
