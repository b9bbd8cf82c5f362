"""What Amazon SES reports through SNS, in our words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from connectors.webhooks import ses
from connectors.webhooks.delivery import Delivery
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import AT, ID, NOW, shown, the_only


def _ses(kind: str, key: str = "eventType", **more: Any) -> Delivery:
    mail = {
        "timestamp": "2026-01-28T08:00:00.000Z",
        "tags": {"messageId": [ID]},
        "destination": ["ana@example.com"],
    }
    return Delivery({}, signing.sns({key: kind, "mail": mail, **more})[1])


_BOUNCED = {
    "timestamp": AT,
    "bouncedRecipients": [
        {"emailAddress": "ana@example.com", "status": "5.1.1", "diagnosticCode": "smtp; 550"}
    ],
}


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (_ses("Delivery", delivery={"timestamp": AT}), ("delivered", {})),
        (_ses("Delivery", "notificationType", delivery={"timestamp": AT}), ("delivered", {})),
        (
            _ses("Bounce", bounce={"bounceType": "Permanent", **_BOUNCED}),
            ("bounced", {"reason": "5.1.1 smtp; 550", "bounceType": "hard"}),
        ),
        (
            _ses(
                "Bounce",
                bounce={"bounceType": "Transient", "bounceSubType": "MailboxFull", "timestamp": AT},
            ),
            ("bounced", {"reason": "MailboxFull", "bounceType": "soft"}),
        ),
        (_ses("Complaint", complaint={"timestamp": AT}), ("complained", {})),
        (
            _ses(
                "Complaint",
                complaint={"timestamp": AT, "complaintSubType": "OnAccountSuppressionList"},
            ),
            ("failed", {"reason": "on the provider's suppression list"}),
        ),
        (
            _ses("Open", open={"timestamp": AT, "userAgent": "Mozilla/5.0 (X11) Firefox/140.0"}),
            ("opened", {}),
        ),
        (
            _ses(
                "Open",
                open={"timestamp": AT, "userAgent": "Mozilla/5.0"},
            ),
            ("opened", {"isMachine": True}),
        ),
        (
            _ses("Click", click={"timestamp": AT, "link": "https://a.example/"}),
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            _ses(
                "Subscription",
                subscription={"timestamp": AT, "newTopicPreferences": {"unsubscribeAll": True}},
            ),
            ("unsubscribed", {}),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_notification_of_ses_is_read_in_our_words(delivery: Delivery, expected: object) -> None:
    assert the_only(ses.read(delivery, NOW)) == expected


def test_ses_finds_our_id_in_the_headers_of_a_notification() -> None:
    headers = [
        {"name": "To", "value": "ana@example.com"},
        {"name": "X-SES-MESSAGE-TAGS", "value": f"campaign=1, messageId={ID}"},
    ]
    mail = {"timestamp": AT, "headers": headers}
    body = signing.sns(
        {"notificationType": "Complaint", "mail": mail, "complaint": {"timestamp": AT}}
    )[1]
    assert the_only(ses.read(Delivery({}, body), NOW)) == ("complained", {})


def test_a_message_that_ses_took_was_taken_when_it_was_sent() -> None:
    """`send` is empty: the time is that of the mail."""
    (found,) = ses.read(_ses("Send", send={}), NOW).reported
    assert (found.type, found.message_id, found.details) == ("accepted", ID, None)
    assert found.timestamp == "2026-01-28T08:00:00.000Z"


def test_ses_says_other_things_too() -> None:
    assert ses.read(_ses("DeliveryDelay"), NOW).ignored == 1
    assert (
        ses.read(
            Delivery(
                {},
                signing.sns("Successfully validated SNS topic for Amazon SES event publishing.")[1],
            ),
            NOW,
        ).unusable
        == 1
    )
    assert (
        ses.read(Delivery({}, signing.sns("bye", "UnsubscribeConfirmation")[1]), NOW).ignored == 1
    )
    asked = ses.read(
        Delivery({}, signing.sns("You have chosen to subscribe", "SubscriptionConfirmation")[1]),
        NOW,
    ).asked
    assert (
        asked is not None
        and asked.topic_arn == signing.TOPIC
        and asked.subscribe_url.startswith("https://sns.")
    )


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        (_ses("Reject", reject={"reason": "Bad content"}), ("failed", {"reason": "Bad content"})),
        (
            _ses("Rendering Failure", failure={"errorMessage": "no ana@example.com"}),
            ("failed", {"reason": "no <address>"}),
        ),
        (_ses("RenderingFailure", failure={}), ("failed", {})),
        (
            _ses("Bounce", bounce={"bounceType": "Undetermined", "bouncedRecipients": [{}]}),
            ("bounced", {"bounceType": "soft"}),
        ),
        (
            _ses(
                "Bounce",
                bounce={
                    "bounceType": "Permanent",
                    "bounceSubType": "Suppressed",
                    "bouncedRecipients": [{"status": "5.1.1"}, {"status": "4.0.0"}],
                },
            ),
            ("failed", {"reason": "5.1.1 Suppressed"}),
        ),
        (
            _ses("Click", click={"link": "https://a.example/", "userAgent": "BingPreview"}),
            ("clicked", {"url": "https://a.example/", "isMachine": True}),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_an_event_without_a_time_of_its_own_has_that_of_the_mail(
    delivery: Delivery, expected: object
) -> None:
    """SES names no time in a reject or a rendering failure."""
    (found,) = ses.read(delivery, NOW).reported
    assert found.timestamp == "2026-01-28T08:00:00.000Z"
    assert shown(replace(found, timestamp=AT)) == expected


def _id_of(**mail: Any) -> str | None:
    body = signing.sns(
        {"eventType": "Delivery", "mail": {"timestamp": AT, **mail}, "delivery": {}}
    )[1]
    found = ses.read(Delivery({}, body), NOW)
    return found.reported[0].message_id if found.reported else None


_OTHER = "00000000-002b-8000-84d2-9f31c05be7a4"


@pytest.mark.parametrize(
    ("mail", "expected"),
    [
        ({"tags": {"messageId": [ID, _OTHER]}}, ID),
        ({"tags": {"messageId": []}, "headers": []}, None),
        ({"tags": {"messageid": [ID]}}, None),
        ({"headers": [{"name": "x-ses-message-tags", "value": f"messageId={ID}"}]}, ID),
        ({"headers": [{"name": "X-SES-Message-Tags", "value": f"a=b;messageId={ID};c=d"}]}, ID),
        ({"headers": [{"name": "X-Other", "value": f"messageId={ID}"}]}, None),
        ({"headers": [{"name": "X-SES-MESSAGE-TAGS", "value": f"xmessageId={ID}"}]}, None),
        ({"headers": [{"name": "X-SES-MESSAGE-TAGS", "value": f"messageId={ID}0"}]}, None),
        (
            {
                "headers": [
                    {"name": "X-SES-MESSAGE-TAGS", "value": "campaign=1"},
                    {"name": "X-SES-MESSAGE-TAGS", "value": f"messageId={ID}"},
                ]
            },
            ID,
        ),
        (
            {
                "tags": {"messageId": [ID]},
                "headers": [{"name": "X-SES-MESSAGE-TAGS", "value": f"messageId={_OTHER}"}],
            },
            ID,
        ),
    ],
)
def test_our_id_is_a_tag_or_in_the_header_of_tags_and_nowhere_else(
    mail: dict[str, Any], expected: str | None
) -> None:
    assert _id_of(**mail) == expected


def test_somebody_who_keeps_one_topic_has_not_unsubscribed() -> None:
    kept = {"newTopicPreferences": {"unsubscribeAll": False}}
    assert ses.read(_ses("Subscription", subscription=kept), NOW).ignored == 1
    assert ses.read(_ses("Subscription"), NOW).ignored == 1


def test_a_request_to_confirm_without_an_address_asks_for_nothing_that_can_be_opened() -> None:
    headers, body = signing.sns("x", "SubscriptionConfirmation")
    fields = {name: value for name, value in json.loads(body).items() if name != "SubscribeURL"}
    asked = ses.read(Delivery(headers, json.dumps(fields).encode()), NOW).asked
    assert asked is not None and asked.subscribe_url == ""


@pytest.mark.parametrize("kind", ["UnsubscribeConfirmation", "SubscriptionConfirmation"])
def test_what_sns_says_about_a_subscription_is_never_read_as_a_report(kind: str) -> None:
    """Even when its text is one: SES speaks in notifications only."""
    mail = {"timestamp": AT, "tags": {"messageId": [ID]}}
    report = {"eventType": "Complaint", "mail": mail, "complaint": {"timestamp": AT}}
    found = ses.read(Delivery({}, signing.sns(report, kind)[1]), NOW)
    assert (found.reported, found.unusable) == ([], 0)
    assert (found.asked is not None, found.ignored) == (
        (False, 1) if kind == "UnsubscribeConfirmation" else (True, 0)
    )
