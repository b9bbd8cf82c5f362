"""The codes of all providers, told apart by whose matter they are; the same cause has the same
consequence wherever it comes from.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from connectors.webhooks import mailgun, sendgrid, ses, twilio, whatsapp
from connectors.webhooks.delivery import Delivery, Read
from connectors.webhooks.meaning import mail_providers, twilio_codes, whatsapp_codes
from connectors.webhooks.meaning.causes import CONSEQUENCES, Cause
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import AT, ID, NOW, SECONDS

HARD, SOFT = [("bounced", "hard")], [("bounced", "soft")]
FAILED: list[tuple[str, str | None]] = [("failed", None)]
OUT = [("unsubscribed", None), ("failed", None)]
COMPLAINED = [("complained", None)]
NOTHING: list[tuple[str, str | None]] = []


def _shown(found: Read) -> list[tuple[str, str | None]]:
    return [(one.type, one.details.bounce_type if one.details else None) for one in found.reported]


def _ses(kind: str, **what: Any) -> Read:
    mail = {"timestamp": AT, "tags": {"messageId": [ID]}}
    report = {"eventType": kind, "mail": mail, kind.lower(): {"timestamp": AT, **what}}
    return ses.read(Delivery({}, signing.sns(report)[1]), NOW)


def _sendgrid(**event: Any) -> Read:
    body = json.dumps([{"timestamp": SECONDS, "messageId": ID, **event}]).encode()
    return sendgrid.read(Delivery({}, body), NOW)


def _mailgun(reason: str | None, **status: Any) -> Read:
    event: dict[str, Any] = {"event": "failed", "severity": "permanent", "reason": reason}
    event |= {"timestamp": SECONDS, "user-variables": {"messageId": ID}, "delivery-status": status}
    return mailgun.read(Delivery({}, signing.mailgun(event)[1]), NOW)


def _twilio(code: str, status: str) -> Read:
    body = urlencode({"MessageStatus": status, "ErrorCode": code}).encode()
    return twilio.read(Delivery({}, body, query={"messageId": ID}), NOW)


def _whatsapp(*codes: str | int) -> Read:
    errors = [{"code": code, "title": "t"} for code in codes]
    status = {"status": "failed", "timestamp": SECONDS, "errors": errors}
    status["biz_opaque_callback_data"] = ID
    return whatsapp.read(Delivery({}, signing.whatsapp({"statuses": [status]})[1]), NOW)


def _bounced(kind: str, sub_type: str, status: str = "", code: str = "") -> Read:
    recipient = {"status": status, "diagnosticCode": code}
    return _ses("Bounce", bounceType=kind, bounceSubType=sub_type, bouncedRecipients=[recipient])


@pytest.mark.parametrize(
    ("kind", "sub_type", "status", "code", "expected"),
    [
        ("Undetermined", "Undetermined", "", "", SOFT),
        ("Undetermined", "Undetermined", "5.1.1", "", HARD),
        ("Permanent", "General", "", "", HARD),
        ("Permanent", "", "5.0.0", "smtp; 550 user unknown", HARD),
        ("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 no such user", HARD),
        ("Permanent", "General", "5.7.1", "smtp; 554 5.7.1 blocked", SOFT),
        ("Permanent", "General", "5.2.2", "smtp; 552 5.2.2 full", SOFT),
        ("Permanent", "General", "4.0.0", "", SOFT),
        ("Permanent", "NoEmail", "", "", HARD),
        ("Permanent", "NoEmail", "5.7.1", "", HARD),
        ("Permanent", "Suppressed", "5.1.1", "", FAILED),
        ("Permanent", "OnAccountSuppressionList", "5.1.1", "", FAILED),
        ("Permanent", "OfALaterYear", "", "", SOFT),
        ("Transient", "General", "5.1.1", "", SOFT),
        ("Transient", "MailboxFull", "", "", SOFT),
        ("Transient", "MessageTooLarge", "", "", SOFT),
        ("Transient", "ContentRejected", "5.6.1", "", SOFT),
        ("Transient", "AttachmentRejected", "", "", SOFT),
        ("Transient", "OfALaterYear", "5.1.1", "", SOFT),
        ("", "", "", "", SOFT),
    ],
)
def test_a_bounce_of_ses_means_what_its_type_says(
    kind: str, sub_type: str, status: str, code: str, expected: list[tuple[str, str | None]]
) -> None:
    assert _shown(_bounced(kind, sub_type, status, code)) == expected


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({}, COMPLAINED),
        ({"complaintFeedbackType": "abuse"}, COMPLAINED),
        ({"complaintFeedbackType": "fraud"}, COMPLAINED),
        ({"complaintFeedbackType": "other"}, COMPLAINED),
        ({"complaintFeedbackType": "virus"}, COMPLAINED),
        ({"complaintFeedbackType": "of-a-later-year"}, COMPLAINED),
        ({"complaintFeedbackType": None, "complaintSubType": None}, COMPLAINED),
        ({"complaintFeedbackType": "not-spam"}, NOTHING),
        ({"complaintFeedbackType": "Not-Spam"}, NOTHING),
        ({"complaintFeedbackType": "auth-failure"}, NOTHING),
        ({"complaintSubType": "OnAccountSuppressionList"}, FAILED),
    ],
)
def test_a_complaint_of_ses_is_the_persons_own(
    what: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    found = _ses("Complaint", **what)
    assert _shown(found) == expected
    assert found.ignored == (0 if expected else 1)


def _preferences(everything: bool = False, **topics: str) -> dict[str, Any]:
    listed = [{"topicName": name, "subscriptionStatus": is_in} for name, is_in in topics.items()]
    return {"unsubscribeAll": everything, "topicSubscriptionStatus": listed}


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (_preferences(True), _preferences(), "out"),
        (_preferences(True, news="OptOut"), None, "out"),
        (_preferences(news="OptOut"), _preferences(news="OptIn"), "out"),
        (_preferences(news="OptOut", deals="OptIn"), _preferences(deals="OptOut"), "out"),
        (_preferences(), _preferences(True), "in"),
        (_preferences(news="OptIn"), _preferences(news="OptOut"), "in"),
        (_preferences(news="OptIn", deals="OptOut"), _preferences(deals="OptOut"), ""),
        (_preferences(news="OptIn"), _preferences(news="OptIn"), ""),
        (None, None, ""),
    ],
)
def test_a_changed_preference_of_ses_is_out_or_in(
    new: dict[str, Any] | None, old: dict[str, Any] | None, expected: str
) -> None:
    found = _ses("Subscription", newTopicPreferences=new, oldTopicPreferences=old)
    assert _shown(found) == ([("unsubscribed", None)] if expected == "out" else [])
    assert len(found.resumed) == (expected == "in")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, HARD),
        ({"type": "bounce", "reason": "500 unknown recipient"}, HARD),
        ({"type": "bounce", "bounce_classification": "Invalid Address"}, HARD),
        ({"type": "bounce", "bounce_classification": "Mailbox Unavailable"}, SOFT),
        ({"type": "bounce", "bounce_classification": "Content"}, SOFT),
        ({"type": "bounce", "bounce_classification": "Reputation"}, SOFT),
        ({"type": "bounce", "bounce_classification": "Frequency or Volume Too High"}, SOFT),
        ({"type": "bounce", "bounce_classification": "Technical Failure"}, SOFT),
        ({"type": "bounce", "bounce_classification": "Unclassified"}, HARD),
        ({"type": "bounce", "status": "5.7.1", "bounce_classification": "Unclassified"}, SOFT),
        ({"type": "bounce", "status": "5.7.1"}, SOFT),
        ({"type": "bounce", "status": "5.1.1"}, HARD),
        ({"type": "bounce", "status": "5.2.2", "reason": "552 full"}, SOFT),
        ({"type": "blocked"}, SOFT),
        ({"type": "blocked", "reason": "500 unknown recipient"}, SOFT),
        ({"type": "expired", "status": "5.1.1"}, SOFT),
    ],
)
def test_a_bounce_of_sendgrid_means_what_its_code_says(
    event: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    assert _shown(_sendgrid(event="bounce", **event)) == expected


@pytest.mark.parametrize("reason", [*mail_providers.SENDGRID_DROPS, "Bounced Address", "new", None])
def test_what_sendgrid_drops_is_no_bounce(reason: str | None) -> None:
    assert _shown(_sendgrid(event="dropped", reason=reason)) == FAILED


@pytest.mark.parametrize(
    ("reason", "status", "expected"),
    [
        ("bounce", {"code": 550, "message": "5.1.1 no such user"}, HARD),
        ("generic", {"code": 550, "enhanced-code": "5.1.1"}, HARD),
        ("generic", {"code": 550, "bounce-code": "5.1.1", "message": "x"}, HARD),
        ("generic", {"code": "550"}, HARD),
        ("bounce", {}, HARD),
        (None, {}, HARD),
        ("generic", {"code": 554, "message": "5.7.1 content blocked"}, SOFT),
        ("bounce", {"code": 554, "enhanced-code": "5.7.1"}, SOFT),
        ("bounce", {"code": 552, "message": "mailbox full"}, SOFT),
        ("generic", {"code": 554}, SOFT),
        ("espblock", {"code": 550, "message": "5.1.1 no such user"}, SOFT),
        ("old", {"code": 602, "message": "Too old"}, SOFT),
        ("of-a-later-year", {}, SOFT),
        ("suppress-bounce", {"code": 605, "message": ""}, FAILED),
        ("suppress-unsubscribe", {"code": 606}, FAILED),
        ("suppress-complaint", {"code": 607}, FAILED),
    ],
)
def test_a_failure_of_mailgun_means_what_its_reason_says(
    reason: str | None, status: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    assert _shown(_mailgun(reason, **status)) == expected


@pytest.mark.parametrize("status", ["failed", "undelivered"])
@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("21211", "21217", "21614", "21635", "30005", "30006", "63003"), HARD),
        (("21214", "21612", "30003", "30004", "30017", "30410", "63024", "63029"), SOFT),
        (("30007", "30019", "63026"), SOFT),
        (("63032", "63049"), FAILED),
        (("21408", "30001", "30002", "30034", "63013", "63016", "63018", "63051"), FAILED),
        (("21610", "63014", "63033"), OUT),
    ],
)
def test_a_code_of_twilio_means_what_its_table_says(
    status: str, codes: tuple[str, ...], expected: list[tuple[str, str | None]]
) -> None:
    for code in codes:
        assert _shown(_twilio(code, status)) == expected, code


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((131026,), SOFT),
        ((131050,), OUT),
        (("131050",), OUT),
        ((131049,), FAILED),
        ((130472,), FAILED),
        ((131047,), FAILED),
        ((131048,), FAILED),
        ((131051,), FAILED),
        ((132001,), FAILED),
        ((131000,), FAILED),
        ((999_999,), FAILED),
        ((), FAILED),
        ((131026, 131050), OUT),
        ((131000, 131026), SOFT),
    ],
)
def test_a_code_of_whatsapp_means_what_its_table_says(
    codes: tuple[str | int, ...], expected: list[tuple[str, str | None]]
) -> None:
    assert _shown(_whatsapp(*codes)) == expected


def _every_known_code() -> Iterator[tuple[Cause, str, Read]]:
    """Cause, name and what the provider's reader makes of it, of every row of every table."""
    for (kind, sub_type), cause in mail_providers.SES_BOUNCES.items():
        if cause is not None:
            yield cause, f"ses {sub_type}", _bounced(kind, sub_type)
    for feedback, cause in mail_providers.SES_COMPLAINTS.items():
        yield cause, f"ses {feedback}", _ses("Complaint", complaintFeedbackType=feedback)
    for name, cause in mail_providers.SENDGRID_CLASSES.items():
        if cause is not None:
            found = _sendgrid(event="bounce", type="bounce", bounce_classification=name)
            yield cause, f"sendgrid {name}", found
    for reason, cause in mail_providers.SENDGRID_DROPS.items():
        yield cause, f"sendgrid {reason}", _sendgrid(event="dropped", reason=reason)
    for reason, cause in mail_providers.MAILGUN_REASONS.items():
        if cause is not None:
            yield cause, f"mailgun {reason}", _mailgun(reason)
    for code, cause in twilio_codes.CODES.items():
        for status in ("undelivered", "failed"):
            yield cause, f"twilio {code} {status}", _twilio(code, status)
    for code, cause in whatsapp_codes.CODES.items():
        yield cause, f"whatsapp {code}", _whatsapp(int(code))


def test_no_code_of_one_cause_has_two_consequences() -> None:
    found: defaultdict[Cause, defaultdict[tuple[object, ...], list[str]]]
    found = defaultdict(lambda: defaultdict(list))
    for cause, name, read in _every_known_code():
        found[cause][tuple(_shown(read))].append(name)
    for cause, by_consequence in found.items():
        assert len(by_consequence) == 1, {cause: dict(by_consequence)}
        expected = tuple((one.type, one.bounce_type) for one in CONSEQUENCES[cause])
        assert expected in by_consequence, cause
    assert found.keys() == set(Cause) - {Cause.UNSUBSCRIBED}  # which has no code at any provider


def test_every_cause_has_its_consequence_and_only_a_dead_address_bounces_hard() -> None:
    assert CONSEQUENCES.keys() == set(Cause)
    hard = [
        cause for cause, them in CONSEQUENCES.items() if any(c.bounce_type == "hard" for c in them)
    ]
    assert hard == [Cause.NO_SUCH_ADDRESS]
