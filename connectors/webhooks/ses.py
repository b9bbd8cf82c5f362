"""Reports of Amazon SES, both as event publishing (`eventType`) and as feedback notifications
(`notificationType`).

docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html. Our id is the
message tag `messageId`. Notifications have no tags; they carry the id in `X-SES-MESSAGE-TAGS` when
the topic includes the original headers.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from connectors.machine_traffic import is_machine_agent
from connectors.webhooks.delivery import Asked, Delivery, Read, parsed, reason
from connectors.webhooks.sns import Envelope
from streams.contracts.envelope import rfc3339
from streams.records.reported_events import Details

_TAG = re.compile(r"(?:^|[,;\s])messageId=([0-9a-f-]{36})(?=$|[,;\s])")


class _Header(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = ""


class _Mail(msgspec.Struct, frozen=True):
    timestamp: datetime
    tags: dict[str, list[str]] = {}
    headers: list[_Header] = []

    @property
    def message_id(self) -> str | None:
        if ours := self.tags.get("messageId"):
            return ours[0]
        texts = (
            header.value for header in self.headers if header.name.lower() == "x-ses-message-tags"
        )
        return next((match[1] for text in texts if (match := _TAG.search(text))), None)


class _Recipient(msgspec.Struct, frozen=True, rename="camel"):
    status: str = ""
    diagnostic_code: str = ""


class _Happening(msgspec.Struct, frozen=True, rename="camel"):
    """Any of SES's objects; each kind uses some of these fields."""

    timestamp: datetime | None = None
    bounce_type: str = ""
    bounce_sub_type: str = ""
    bounced_recipients: list[_Recipient] = []
    complaint_sub_type: str | None = None
    user_agent: str = ""
    link: str | None = None
    reason: str | None = None
    error_message: str | None = None


class _Preferences(msgspec.Struct, frozen=True, rename="camel"):
    unsubscribe_all: bool = False


class _Subscription(msgspec.Struct, frozen=True, rename="camel"):
    timestamp: datetime | None = None
    new_topic_preferences: _Preferences = _Preferences()


class _Report(msgspec.Struct, frozen=True, rename="camel"):
    mail: _Mail
    event_type: str = ""
    notification_type: str = ""
    delivery: _Happening = _Happening()
    bounce: _Happening = _Happening()
    complaint: _Happening = _Happening()
    open: _Happening = _Happening()
    click: _Happening = _Happening()
    reject: _Happening = _Happening()
    failure: _Happening = _Happening()
    subscription: _Subscription = _Subscription()


def envelope(delivery: Delivery) -> Envelope:
    """Decodes the message of SNS around a report. Raises UnparsableError."""
    return parsed(delivery.body, Envelope)


def read(delivery: Delivery) -> Read:
    """Raises UnparsableError when the body is no message of SNS."""
    found, around = Read(), envelope(delivery)
    if around.type == "SubscriptionConfirmation":
        found.asked = Asked(around.topic_arn, around.subscribe_url or "")
        return found
    if around.type != "Notification":
        found.ignored += 1
        return found
    try:
        _add(found, msgspec.json.decode(around.message, type=_Report))
    except (
        msgspec.DecodeError,
        RecursionError,
    ):  # such as the sentence with which SES tries a new topic
        found.unusable += 1
    except (OverflowError, ValueError):  # a time before the year 1 or after 9999 in UTC
        found.unusable += 1
    return found


def _add(found: Read, report: _Report) -> None:
    message_id, mail = report.mail.message_id, report.mail

    def at(what: _Happening | _Subscription) -> str:
        return rfc3339(what.timestamp or mail.timestamp)

    match report.event_type or report.notification_type:
        case "Delivery":
            found.add("delivered", message_id, at(report.delivery))
        case "Bounce":
            found.add("bounced", message_id, at(report.bounce), _bounce(report.bounce))
        case "Complaint" if (
            report.complaint.complaint_sub_type == "OnAccountSuppressionList"
        ):  # never sent
            found.add(
                "failed",
                message_id,
                at(report.complaint),
                Details(reason="on the provider's suppression list"),
            )
        case "Complaint":
            found.add("complained", message_id, at(report.complaint))
        case "Open":
            found.add(
                "opened",
                message_id,
                at(report.open),
                Details(is_machine=is_machine_agent(report.open.user_agent)),
            )
        case "Click":
            details = Details(
                url=report.click.link, is_machine=is_machine_agent(report.click.user_agent)
            )
            found.add("clicked", message_id, at(report.click), details)
        case "Reject":
            found.add(
                "failed",
                message_id,
                at(report.reject),
                Details(reason=reason(report.reject.reason)),
            )
        case "Rendering Failure" | "RenderingFailure":
            found.add(
                "failed",
                message_id,
                at(report.failure),
                Details(reason=reason(report.failure.error_message)),
            )
        case "Subscription" if report.subscription.new_topic_preferences.unsubscribe_all:
            found.add("unsubscribed", message_id, at(report.subscription))
        case _:  # Send, DeliveryDelay
            found.ignored += 1


def _bounce(bounce: _Happening) -> Details:
    recipient = bounce.bounced_recipients[0] if bounce.bounced_recipients else _Recipient()
    why = reason(recipient.status, recipient.diagnostic_code or bounce.bounce_sub_type)
    return Details(reason=why, bounce_type="hard" if bounce.bounce_type == "Permanent" else "soft")
