"""What providers report, in our words: kinds, bounce types, machines; without addresses; one bad
element spoils no other.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.webhooks import mailgun, sendgrid, ses, standard, twilio, whatsapp
from connectors.webhooks.delivery import Delivery, Read, Reported, reason
from connectors.webhooks.stop_words import is_stop
from streams.records.reported_events import Details
from tests.connectors.webhooks import webhook_signing as signing

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
AT, SECONDS = "2026-01-28T09:00:00.000Z", 1_769_590_800
NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)


def the_only(read: Read) -> tuple[str, dict[str, Any]]:
    """Kind and details of the one event, which must be ours and of our time."""
    assert (len(read.reported), read.ignored, read.unusable) == (1, 0, 0)
    return shown(read.reported[0])


def shown(one: Reported) -> tuple[str, dict[str, Any]]:
    assert (one.message_id, one.timestamp) == (ID, AT)
    details = one.details or Details()
    found = {
        "reason": details.reason,
        "bounceType": details.bounce_type,
        "url": details.url,
        "isMachine": details.is_machine,
    }
    return one.type, {name: value for name, value in found.items() if value}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "delivered"}, ("delivered", {})),
        ({"event": "open"}, ("opened", {})),
        ({"event": "open", "sg_machine_open": True}, ("opened", {"isMachine": True})),
        (
            {"event": "click", "url": "https://a.example/"},
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            {
                "event": "bounce",
                "type": "bounce",
                "status": "5.1.1",
                "reason": "550 <ana@example.com> unknown",
            },
            ("bounced", {"reason": "5.1.1 550 <<address>> unknown", "bounceType": "hard"}),
        ),
        (
            {"event": "bounce", "type": "blocked", "reason": "busy"},
            ("bounced", {"reason": "busy", "bounceType": "soft"}),
        ),
        (
            {"event": "dropped", "reason": "Bounced Address"},
            ("failed", {"reason": "Bounced Address"}),
        ),
        ({"event": "spamreport"}, ("complained", {})),
        ({"event": "unsubscribe"}, ("unsubscribed", {})),
        ({"event": "group_unsubscribe"}, ("unsubscribed", {})),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_sendgrid(event: dict[str, Any], expected: object) -> None:
    body = json.dumps(
        [{"email": "ana@example.com", "timestamp": SECONDS, "messageId": ID, **event}]
    ).encode()
    assert the_only(sendgrid.read(Delivery({}, body))) == expected


def test_one_bad_element_of_a_batch_never_drops_the_rest() -> None:
    good = {"event": "delivered", "timestamp": SECONDS, "messageId": ID}
    bad: list[object] = [
        7,
        None,
        {},
        {**good, "timestamp": "soon"},
        {**good, "timestamp": 1e300},
        {**good, "messageId": 5},
    ]
    others = [
        {**good, "messageId": None},
        {**good, "event": "processed"},
        {**good, "event": "from the future"},
    ]
    found = sendgrid.read(Delivery({}, json.dumps([good, *bad, *others, good]).encode()))
    assert (len(found.reported), found.unusable, found.ignored) == (2, len(bad), len(others))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "delivered"}, ("delivered", {})),
        ({"event": "opened", "client-info": {"client-name": "Chrome"}}, ("opened", {})),
        ({"event": "opened", "client-info": {"bot": "apple"}}, ("opened", {"isMachine": True})),
        (
            {"event": "clicked", "url": "https://a.example/"},
            ("clicked", {"url": "https://a.example/"}),
        ),
        (
            {
                "event": "failed",
                "severity": "permanent",
                "reason": "bounce",
                "delivery-status": {"code": 550, "message": "5.1.1 no ana@example.com"},
            },
            ("bounced", {"reason": "550 5.1.1 no <address>", "bounceType": "hard"}),
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "old"},
            ("bounced", {"reason": "old", "bounceType": "soft"}),
        ),
        (
            {"event": "failed", "severity": "permanent", "reason": "suppress-bounce"},
            ("failed", {"reason": "suppress-bounce"}),
        ),
        ({"event": "rejected"}, ("failed", {})),
        ({"event": "complained"}, ("complained", {})),
        ({"event": "unsubscribed"}, ("unsubscribed", {})),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_mailgun(event: dict[str, Any], expected: object) -> None:
    _, body = signing.mailgun(
        {"timestamp": SECONDS + 0.0, "user-variables": {"messageId": ID}, **event}
    )
    assert the_only(mailgun.read(Delivery({}, body))) == expected


def test_mailgun_will_try_again_or_reports_of_nobody() -> None:
    for event in (
        {"event": "failed", "severity": "temporary", "user-variables": {"messageId": ID}},
        {"event": "accepted"},
        {"event": "opened"},
    ):
        assert (
            mailgun.read(Delivery({}, signing.mailgun({"timestamp": 1, **event})[1])).ignored == 1
        )
    assert mailgun.read(Delivery({}, signing.mailgun({"event": 7})[1])).unusable == 1


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
                open={"timestamp": AT, "userAgent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"},
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
def test_ses(delivery: Delivery, expected: object) -> None:
    assert the_only(ses.read(delivery)) == expected


def test_ses_finds_our_id_in_the_headers_of_a_notification() -> None:
    headers = [
        {"name": "To", "value": "ana@example.com"},
        {"name": "X-SES-MESSAGE-TAGS", "value": f"campaign=1, messageId={ID}"},
    ]
    mail = {"timestamp": AT, "headers": headers}
    body = signing.sns(
        {"notificationType": "Complaint", "mail": mail, "complaint": {"timestamp": AT}}
    )[1]
    assert the_only(ses.read(Delivery({}, body))) == ("complained", {})


def test_ses_says_other_things_too() -> None:
    assert ses.read(_ses("Send")).ignored == ses.read(_ses("DeliveryDelay")).ignored == 1
    assert (
        ses.read(
            Delivery(
                {},
                signing.sns("Successfully validated SNS topic for Amazon SES event publishing.")[1],
            )
        ).unusable
        == 1
    )
    assert (
        ses.read(_ses("Delivery", delivery={"timestamp": "0001-01-01T00:00:00+10:00"})).unusable
        == 1
    )
    assert ses.read(Delivery({}, signing.sns("bye", "UnsubscribeConfirmation")[1])).ignored == 1
    asked = ses.read(
        Delivery({}, signing.sns("You have chosen to subscribe", "SubscriptionConfirmation")[1])
    ).asked
    assert (
        asked is not None
        and asked.topic_arn == signing.TOPIC
        and asked.subscribe_url.startswith("https://sns.")
    )


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"MessageStatus": "delivered"}, [("delivered", {})]),
        ({"MessageStatus": "read"}, [("opened", {})]),
        (
            {"MessageStatus": "undelivered", "ErrorCode": "30005"},
            [("bounced", {"reason": "error 30005", "bounceType": "hard"})],
        ),
        (
            {"MessageStatus": "undelivered", "ErrorCode": "30003"},
            [("bounced", {"reason": "error 30003", "bounceType": "soft"})],
        ),
        (
            {"MessageStatus": "failed", "ErrorCode": "30008"},
            [("failed", {"reason": "error 30008"})],
        ),
        (
            {"MessageStatus": "failed", "ErrorCode": "21610"},
            [("unsubscribed", {}), ("failed", {"reason": "error 21610"})],
        ),
        ({"MessageStatus": "sent"}, []),
    ],
    ids=lambda value: (
        None if isinstance(value, list) else value.get("ErrorCode", value["MessageStatus"])
    ),
)
def test_twilio_statuses(form: dict[str, str], expected: object) -> None:
    _, body = signing.twilio("", {"MessageSid": "SM1", "To": "+15005550006", **form})
    assert [
        shown(one) for one in twilio.read(Delivery({}, body, query={"messageId": ID}), NOW).reported
    ] == expected


def test_twilio_messages() -> None:
    def said(**form: str) -> Any:
        _, body = signing.twilio("", {"MessageSid": "SM1", "SmsStatus": "received", **form})
        return twilio.read(Delivery({}, body), NOW).said[0]

    stop = said(From="+15005550006", Body="Stop.")
    assert (stop.channel, stop.address, stop.at, stop.identity, stop.is_stop, stop.is_reply) == (
        "sms",
        "+15005550006",
        NOW,
        "SM1",
        True,
        True,
    )
    chat = said(From="whatsapp:+15005550006", Body="please stop calling me")
    assert (chat.channel, chat.address, chat.is_stop) == ("whatsapp", "+15005550006", False)
    assert said(From="+15005550006", Body="Arrêt", OptOutType="STOP").is_stop
    assert "15005550006" not in repr(stop)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"status": "delivered"}, [("delivered", {})]),
        ({"status": "read"}, [("opened", {})]),
        (
            {"status": "failed", "errors": [{"code": 131026, "title": "Message undeliverable"}]},
            [("bounced", {"reason": "131026 Message undeliverable", "bounceType": "hard"})],
        ),
        (
            {"status": "failed", "errors": [{"code": 131050, "title": "t"}]},
            [("unsubscribed", {}), ("failed", {"reason": "131050 t"})],
        ),
        ({"status": "failed"}, [("failed", {})]),
        ({"status": "sent"}, []),
    ],
    ids=["delivered", "read", "undeliverable", "opted out", "failed", "sent"],
)
def test_whatsapp_statuses(status: dict[str, Any], expected: object) -> None:
    value = {
        "statuses": [
            {
                "id": "wamid.1",
                "timestamp": str(SECONDS),
                "recipient_id": "49151",
                "biz_opaque_callback_data": ID,
                **status,
            }
        ]
    }
    assert [
        shown(one) for one in whatsapp.read(Delivery({}, signing.whatsapp(value)[1])).reported
    ] == expected


def test_whatsapp_messages_and_preferences() -> None:
    message = {"from": "4915112345678", "id": "wamid.2", "timestamp": str(SECONDS), "type": "text"}
    value = {
        "messages": [
            {**message, "text": {"body": "STOP"}},
            {**message, "type": "image"},
            {**message, "button": {"text": "Stop"}},
            {"id": 1},
        ],
        "user_preferences": [
            {
                "wa_id": "4915112345678",
                "value": "stop",
                "category": "marketing_messages",
                "timestamp": SECONDS,
            }
        ],
    }
    found = whatsapp.read(Delivery({}, signing.whatsapp(value)[1]))
    assert [(said.is_stop, said.is_reply) for said in found.said] == [
        (True, True),
        (False, True),
        (True, True),
        (True, False),
    ]
    assert {said.address for said in found.said} == {"+4915112345678"} and {
        said.at for said in found.said
    } == {NOW}
    assert found.unusable == 1


def test_standard_webhooks_speak_our_words() -> None:
    plain = {
        "type": "bounced",
        "messageId": ID,
        "timestamp": "2026-01-28T09:00:00Z",
        "data": {"reason": "full", "bounceType": "soft"},
    }
    nested = {
        "type": "message.opened",
        "timestamp": "2026-01-28T10:00:00+01:00",
        "data": {"messageId": ID, "isMachine": True},
    }
    said = {
        "type": "received",
        "timestamp": AT,
        "data": {"channel": "sms", "address": "+15005550006", "text": "unsubscribe"},
    }
    bad: list[object] = [
        {"type": "opened", "timestamp": "2026-01-28T09:00:00"},
        {"type": "bounced", "timestamp": AT, "data": {"bounceType": "x"}},
        1,
    ]
    body = json.dumps(
        [plain, nested, said, {**plain, "type": "sent"}, {**plain, "messageId": None}, *bad]
    ).encode()
    found = standard.read(Delivery({"webhook-id": "msg_1"}, body))
    assert [
        (one.type, one.message_id, datetime.fromisoformat(one.timestamp)) for one in found.reported
    ] == [
        ("bounced", ID, NOW),
        ("opened", ID, NOW),
    ]
    assert (found.ignored, found.unusable) == (2, 3)
    assert (found.said[0].address, found.said[0].is_stop, found.said[0].identity) == (
        "+15005550006",
        True,
        "msg_1:2",
    )
    assert len(standard.read(Delivery({}, json.dumps(plain).encode())).reported) == 1


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop! ",
        "STOPALL",
        "Unsubscribe",
        "cancel",
        "END",
        "quit.",
        "Opt out",
        "OPT-OUT",
        "revoke",
    ],
)
def test_the_words_that_carriers_agreed_on_end_it(text: str) -> None:
    assert is_stop(text)


@pytest.mark.parametrize(
    "text",
    ["", "please stop", "STOP IT", "don't stop", "the end", "x" * 10_000, "Ｓ-STOP", "start"],
)
def test_other_words_do_not(text: str) -> None:
    assert not is_stop(text)


def test_reasons_hold_no_address_and_no_number() -> None:
    text = reason(
        "550", "user ana.b+c@mail.example.com (+4915112345678) over quota, id 12345678901", None, ""
    )
    assert text == "550 user <address> (<number>) over quota, id <number>"
    assert reason("x" * 900) == "x" * 500 and reason() is None
