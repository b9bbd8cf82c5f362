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
from connectors.webhooks.delivery import Delivery, Read, SubscriptionRequest, Unheard, reason
from connectors.webhooks.forms import Form, UnparsableError, form
from connectors.webhooks.meaning.causes import Cause
from connectors.webhooks.meaning.mail_providers import of_ses_bounce, of_ses_complaint
from connectors.webhooks.sns import Envelope
from streams.records.reported_events import Details

_TAG = re.compile(r"(?:^|[,;\s])messageId=([0-9a-f-]{36})(?=$|[,;\s])")
# The member of a report that holds what has happened.
_MEMBERS = {
    "Send": "send",
    "Delivery": "delivery",
    "Bounce": "bounce",
    "Complaint": "complaint",
    "Open": "open",
    "Click": "click",
    "Reject": "reject",
    "Rendering Failure": "failure",
    "RenderingFailure": "failure",
    "Subscription": "subscription",
}


def envelope(delivery: Delivery) -> Envelope:
    """Decodes the message of SNS around a report. Raises UnparsableError."""
    try:
        return msgspec.json.decode(delivery.body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnparsableError("The body is no message of Amazon SNS.") from error


def read(delivery: Delivery, now: datetime) -> Read:
    """Raises UnparsableError when the body is no message of SNS."""
    found, around = Read(now), envelope(delivery)
    if around.type == "SubscriptionConfirmation":
        found.asked = SubscriptionRequest(around.topic_arn, around.subscribe_url or "")
        return found
    if around.type != "Notification":
        found.ignored += 1
        return found
    try:
        _add(found, form(around.message))
    except UnparsableError:  # such as the sentence with which SES tries a new topic
        found.unusable += 1
    return found


def _message_id(mail: Form) -> str:
    if ours := mail.form("tags").texts("messageId"):
        return ours[0]
    texts = (
        header.text("value")
        for header in mail.forms("headers")
        if header.text("name").lower() == "x-ses-message-tags"
    )
    return next((match[1] for text in texts if (match := _TAG.search(text))), "")


def _add(found: Read, report: Form) -> None:
    mail = report.form("mail")
    message_id = _message_id(mail)
    kind = report.text("eventType") or report.text("notificationType")
    what = report.form(_MEMBERS.get(kind, ""))
    at = what.at("timestamp") or mail.at("timestamp")
    match kind:
        case "Send":
            found.add("accepted", message_id, at, report)
        case "Delivery":
            found.add("delivered", message_id, at, report)
        case "Bounce":
            _bounced(found, what, message_id, at, report)
        case "Complaint":
            sub_type = what.text("complaintSubType")
            cause = of_ses_complaint(what.text("complaintFeedbackType"), sub_type)
            found.add_cause(cause, message_id, at, report, "on the provider's suppression list")
        case "Open":
            is_machine = is_machine_agent(what.text("userAgent"))
            found.add("opened", message_id, at, report, Details(is_machine=is_machine))
        case "Click":
            is_machine = is_machine_agent(what.text("userAgent"))
            details = Details(url=what.text("link") or None, is_machine=is_machine)
            found.add("clicked", message_id, at, report, details)
        case "Reject":
            why = reason(what.text("reason"))
            found.add_cause(Cause.NOT_SENT, message_id, at, report, why)
        case "Rendering Failure" | "RenderingFailure":
            why = reason(what.text("errorMessage"))
            found.add_cause(Cause.NOT_SENT, message_id, at, report, why)
        case "Subscription":
            _subscribed(found, what, message_id, at, report)
        case _:  # DeliveryDelay
            found.ignored += 1


def _bounced(found: Read, bounce: Form, message_id: str, at: datetime | None, report: Form) -> None:
    recipient = next(iter(bounce.forms("bouncedRecipients")), Form({}))
    status, diagnostic = recipient.spelled("status"), recipient.text("diagnosticCode")
    sub_type = bounce.text("bounceSubType")
    cause = of_ses_bounce(bounce.text("bounceType"), sub_type, status, diagnostic)
    found.add_cause(cause, message_id, at, report, reason(status, diagnostic or sub_type))


def _subscribed(
    found: Read, change: Form, message_id: str, at: datetime | None, report: Form
) -> None:
    """Read a person's changed preferences: out of everything or of one topic, or in again."""
    new, old = change.form("newTopicPreferences"), change.form("oldTopicPreferences")
    out, was_out = _out(new), _out(old)
    if out - was_out:
        found.add_cause(Cause.UNSUBSCRIBED, message_id, at, report)
    elif was_out - out and not out:
        found.resume(message_id, at)
    else:
        found.ignored += 1
        if not new.has("unsubscribeAll") and not new.has("topicSubscriptionStatus"):
            found.unheard.append(Unheard("unreadable", report.encoded()))


def _out(preferences: Form) -> set[str]:
    """The topics that these preferences are out of, "" for all of them."""
    topics = preferences.forms("topicSubscriptionStatus")
    found = {one.text("topicName") for one in topics if _is_out(one)}
    return found | {""} if preferences.is_true("unsubscribeAll") else found


def _is_out(topic: Form) -> bool:
    return topic.text("subscriptionStatus").lower() == "optout"
