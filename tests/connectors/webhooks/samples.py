"""Documented samples of what every provider posts, with invented addresses: the members that their
pages list, and our id where it travels.

SES: awsdocs/amazon-ses-developer-guide, notification-contents.md and
event-publishing-retrieving-sns-contents.md. Mailgun: mailgun/documentation, api-events.rst.
SendGrid: sendgrid/docs, tracking-events/event.md. WhatsApp: Meta's webhook reference of messages,
statuses and user_preferences.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.webhooks import mailgun, sendgrid, ses, standard, whatsapp
from connectors.webhooks.delivery import Delivery, Read
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import AT, ID, SECONDS


@dataclass(frozen=True)
class Sample:
    """A document and its reader. `needed`: paths without which there is no event."""

    name: str
    document: Any
    read: Callable[[Any, datetime], Read]
    needed: frozenset[tuple[str | int, ...]]


def _ses(document: Any, now: datetime) -> Read:
    return ses.read(Delivery({}, signing.sns(document)[1]), now)


def _sendgrid(document: Any, now: datetime) -> Read:
    return sendgrid.read(Delivery({}, json.dumps([document]).encode()), now)


def _mailgun(document: Any, now: datetime) -> Read:
    body = {"signature": {"timestamp": "1", "token": "t", "signature": "s"}}
    return mailgun.read(Delivery({}, json.dumps({**body, "event-data": document}).encode()), now)


def _standard(document: Any, now: datetime) -> Read:
    return standard.read(Delivery({"webhook-id": "w"}, json.dumps(document).encode()), now)


def _whatsapp(document: Any, now: datetime) -> Read:
    return whatsapp.read(Delivery({}, json.dumps(document).encode()), now)


_MAIL = {
    "timestamp": "2018-10-08T14:05:45 +0000",
    "messageId": "000001378603177f-7a5433e7-8edb-42ae-af10-f0181f34d6ee-000000",
    "source": "sender@example.com",
    "sourceArn": "arn:aws:ses:us-east-1:888888888888:identity/example.com",
    "sendingAccountId": "123456789012",
    "destination": ["recipient@example.com"],
    "headersTruncated": True,
    "headers": [{"name": "From", "value": "Sender <sender@example.com>"}],
    "commonHeaders": {"from": ["Sender <sender@example.com>"], "subject": "Message"},
    "tags": {"messageId": [ID], "ses:configuration-set": ["ConfigSet"]},
}
_SES: dict[str, dict[str, Any]] = {
    "Bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "bouncedRecipients": [
            {
                "status": "5.0.0",
                "action": "failed",
                "diagnosticCode": "smtp; 550 user unknown",
                "emailAddress": "recipient1@example.com",
            }
        ],
        "reportingMTA": "example.com",
        "timestamp": AT,
        "feedbackId": "000001378603176d-5a4b5ad9-6f30-4198-a8c3-b1eb0c270a1d-000000",
        "remoteMtaIp": "127.0.2.0",
    },
    "Complaint": {
        "userAgent": "ExampleCorp Feedback Loop (V0.01)",
        "complainedRecipients": [{"emailAddress": "recipient1@example.com"}],
        "complaintFeedbackType": "abuse",
        "complaintSubType": None,
        "arrivalDate": "2009-12-03T04:24:21.000-05:00",
        "timestamp": AT,
        "feedbackId": "000001378603177f-18c07c78-fa81-4a58-9dd1-fedc3cb8f49a-000000",
    },
    "Delivery": {
        "timestamp": AT,
        "processingTimeMillis": 546,
        "recipients": ["recipient@example.com"],
        "smtpResponse": "250 ok:  Message 64111812 accepted",
        "reportingMTA": "a8-70.smtp-out.amazonses.com",
        "remoteMtaIp": "127.0.2.0",
    },
    "Send": {},
    "Open": {"ipAddress": "192.0.2.1", "timestamp": AT, "userAgent": "Mozilla/5.0 (iPhone)"},
    "Click": {
        "ipAddress": "192.0.2.1",
        "link": "https://docs.example.com/",
        "linkTags": {"samplekey0": ["samplevalue0"]},
        "timestamp": AT,
        "userAgent": "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0",
    },
    "Reject": {"reason": "Bad content"},
    "Rendering Failure": {"errorMessage": "Attribute 'name' is not present", "templateName": "t"},
    "Subscription": {
        "contactList": "ContactListName",
        "timestamp": AT,
        "source": "UnsubscribeHeader",
        "newTopicPreferences": {"unsubscribeAll": True, "topicSubscriptionStatus": []},
        "oldTopicPreferences": {
            "unsubscribeAll": False,
            "topicSubscriptionStatus": [{"topicName": "T", "subscriptionStatus": "OptIn"}],
        },
    },
}
_MAILGUN: dict[str, dict[str, Any]] = {
    "unsubscribed": {"geolocation": {"country": "US"}, "ip": "192.0.2.1"},
    "complained": {"envelope": {"sending-ip": "192.0.2.1"}},
    "failed": {
        "severity": "permanent",
        "reason": "generic",
        "envelope": {"sender": "john@example.org", "transport": "smtp"},
        "delivery-status": {
            "attempt-no": 1,
            "message": "5.1.1 no such user",
            "code": 550,
            "description": "",
            "enhanced-code": "5.1.1",
            "session-seconds": 0.0,
        },
    },
    "rejected": {"reject": {"reason": "Sandbox subdomains are for tests", "description": ""}},
    "accepted": {"method": "HTTP", "recipient-domain": "example.com", "storage": {"region": "eu"}},
    "delivered": {"delivery-status": {"tls": True, "code": 250, "message": "OK"}},
    "clicked": {
        "url": "https://example.com/signup",
        "client-info": {"client-type": "browser", "user-agent": "Mozilla/5.0", "bot": ""},
    },
}
_MAILGUN_COMMON = {
    "id": "W3X4JOhFT-OZidZGKKr9iA",
    "timestamp": 1_377_213_791.421473,
    "log-level": "info",
    "recipient": "recipient@example.com",
    "campaigns": [],
    "tags": ["news"],
    "user-variables": {"messageId": ID, "other": "x"},
    "flags": {"is-routed": False},
    "message": {"headers": {"message-id": "20130821005614@samples.mailgun.org"}, "size": 867},
    "storage": {"url": "https://se.api.mailgun.net/v3/x", "key": "eyJwI"},
}
_SENDGRID: dict[str, dict[str, Any]] = {
    "unsubscribe": {},
    "group_unsubscribe": {"asm_group_id": 10, "useragent": "Mozilla/4.0", "ip": "192.0.2.1"},
    "spamreport": {},
    "bounce": {
        "reason": "500 unknown recipient",
        "status": "5.0.0",
        "type": "bounce",
        "bounce_classification": "Invalid Address",
    },
    "dropped": {"reason": "Bounced Address", "status": "5.0.0"},
    "open": {"useragent": "Mozilla/4.0", "ip": "192.0.2.1", "sg_machine_open": False},
    "click": {"url": "https://www.example.com/", "url_offset": {"index": 0, "type": "html"}},
    "processed": {"send_at": SECONDS, "sg_template_id": "t"},
    "delivered": {"response": "250 OK"},
}
_SENDGRID_COMMON = {
    "email": "example@example.com",
    "timestamp": SECONDS,
    "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
    "category": ["cat facts"],
    "sg_event_id": "sg_event_id",
    "sg_message_id": "sg_message_id",
    "messageId": ID,
}
_STANDARD: list[dict[str, Any]] = [
    {"type": "complained", "data": {"reason": None, "url": None}},
    {"type": "unsubscribed", "data": None},
    {"type": "bounced", "data": {"reason": "550 no such user", "bounceType": "hard"}},
    {"type": "clicked", "data": {"url": "https://a.example/", "isMachine": False}},
    {"type": "accepted"},
]
_MESSAGE = {"from": "16505551234", "id": "wamid.HBgL", "timestamp": str(SECONDS)}


def _value(**more: Any) -> Any:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "16505551234"}],
        **more,
    }
    change = {"field": "messages", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}


_WHATSAPP: dict[str, Any] = {
    "text": _value(messages=[{**_MESSAGE, "type": "text", "text": {"body": "STOP"}}]),
    "button": _value(
        messages=[
            {
                **_MESSAGE,
                "context": {"from": "15550783881", "id": "wamid.HBgM"},
                "type": "button",
                "button": {"text": "Stop promotions", "payload": "p"},
            }
        ]
    ),
    "status": _value(
        statuses=[
            {
                "id": "wamid.HBgL",
                "status": "failed",
                "timestamp": str(SECONDS),
                "recipient_id": "16505551234",
                "biz_opaque_callback_data": ID,
                "errors": [
                    {
                        "code": 131050,
                        "title": "Stopped",
                        "error_data": {"details": "d"},
                        "href": "h",
                    }
                ],
            }
        ]
    ),
    "preference": _value(
        user_preferences=[
            {
                "wa_id": "16505551234",
                "user_id": "US.13491208655302741918",
                "detail": "User requested to stop marketing messages",
                "category": "marketing_messages",
                "value": "stop",
                "timestamp": SECONDS,
            }
        ]
    ),
}
# A change of a subscription is what it changes.
_OUT_OF: defaultdict[str, list[tuple[str, ...]]] = defaultdict(
    list,
    Subscription=[
        ("subscription", f"{age}TopicPreferences", "unsubscribeAll") for age in ("new", "old")
    ],
)
_TO_VALUE = ("entry", 0, "changes", 0, "value")


def _samples() -> list[Sample]:
    found = [
        Sample(
            f"ses {kind}",
            {"eventType": kind, "mail": _MAIL, ses._MEMBERS[kind]: what},
            _ses,
            frozenset({("eventType",), ("mail", "tags", "messageId", 0), *_OUT_OF[kind]}),
        )
        for kind, what in _SES.items()
    ]
    found += [
        Sample(
            f"mailgun {kind}",
            {"event": kind, **_MAILGUN_COMMON, **more},
            _mailgun,
            frozenset({("event",), ("severity",), ("user-variables", "messageId")}),
        )
        for kind, more in _MAILGUN.items()
    ]
    found += [
        Sample(
            f"sendgrid {kind}",
            {"event": kind, **_SENDGRID_COMMON, **more},
            _sendgrid,
            frozenset({("event",), ("messageId",)}),
        )
        for kind, more in _SENDGRID.items()
    ]
    found += [
        Sample(
            f"standard {event['type']}",
            {**event, "messageId": ID, "timestamp": AT},
            _standard,
            frozenset({("type",), ("messageId",)}),
        )
        for event in _STANDARD
    ]
    parts = {
        "text": (("messages", 0), ("from",), ("text", "body")),
        "button": (("messages", 0), ("from",), ("button", "text")),
        "status": (("statuses", 0), ("status",), ("biz_opaque_callback_data",)),
        "preference": (("user_preferences", 0), ("value",)),
    }
    for kind, document in _WHATSAPP.items():
        place, *needed = parts[kind]
        paths = {(*_TO_VALUE, *place, *one) for one in needed}
        found.append(Sample(f"whatsapp {kind}", document, _whatsapp, frozenset(paths)))
    return found


SAMPLES = _samples()
