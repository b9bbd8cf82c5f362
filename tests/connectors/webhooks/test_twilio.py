"""What Twilio reports of SMS and WhatsApp, and what recipients say through it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.webhooks import twilio
from connectors.webhooks.delivery import Delivery, Read, SignatureError, UnparsableError
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import ID, NOW, shown


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


def _read(body: str, message_id: str | None = ID) -> Read:
    query = {} if message_id is None else {"messageId": message_id}
    return twilio.read(Delivery({}, body.encode(), query=query), NOW)


@pytest.mark.parametrize(
    ("code", "bounce"),
    [
        ("21211", "hard"),
        ("21614", "hard"),
        ("30005", "hard"),
        ("30006", "hard"),
        ("63024", "hard"),
        ("30003", "soft"),
        ("", "soft"),
    ],
)
def test_a_number_that_cannot_be_reached_again_bounces_hard(code: str, bounce: str) -> None:
    why = {"reason": f"error {code}"} if code else {}
    (undelivered,) = _read(f"MessageStatus=undelivered&ErrorCode={code}").reported
    assert shown(undelivered) == ("bounced", {**why, "bounceType": bounce})
    (failed,) = _read(f"MessageStatus=failed&ErrorCode={code}").reported
    expected = ("bounced", {**why, "bounceType": "hard"}) if bounce == "hard" else ("failed", why)
    assert shown(failed) == expected


@pytest.mark.parametrize("code", ["21610", "63032"])
def test_who_has_opted_out_at_twilio_has_unsubscribed_with_us(code: str) -> None:
    kinds = [shown(one)[0] for one in _read(f"MessageStatus=undelivered&ErrorCode={code}").reported]
    assert kinds == ["unsubscribed", "bounced"]


def test_a_status_without_our_id_is_ignored() -> None:
    found = _read("MessageStatus=delivered", None)
    assert (found.reported, found.ignored) == ([], 1)


@pytest.mark.parametrize(
    ("form", "is_said"),
    [
        ("SmsStatus=received&From=%2B1", True),
        ("MessageStatus=received&Body=x", True),
        ("Body=", True),
        ("Body=hello&SmsStatus=sent", True),
        ("Body=hello&MessageStatus=sent", False),
        ("SmsStatus=delivered", False),
        ("", False),
    ],
)
def test_a_message_of_a_recipient_is_told_from_a_status(form: str, is_said: bool) -> None:
    assert bool(_read(form).said) is is_said


def test_a_status_in_the_older_field_counts_too() -> None:
    assert [shown(one)[0] for one in _read("SmsStatus=delivered").reported] == ["delivered"]
    both = _read("SmsStatus=delivered&MessageStatus=read")
    assert [shown(one)[0] for one in both.reported] == ["opened"]


@pytest.mark.parametrize(
    ("form", "identity"),
    [
        ("MessageSid=a&SmsMessageSid=b&SmsSid=c", "a"),
        ("SmsMessageSid=b&SmsSid=c", "b"),
        ("SmsSid=c", "c"),
        ("MessageSid=&SmsSid=c", "c"),
        ("x=1", ""),
    ],
)
def test_a_message_has_the_id_that_twilio_gave_it(form: str, identity: str) -> None:
    assert _read(f"Body=x&{form}").said[0].identity == identity


@pytest.mark.parametrize(("kind", "is_stop"), [("STOP", True), ("HELP", False), ("stop", False)])
def test_what_twilio_has_understood_as_stop_is_stop(kind: str, is_stop: bool) -> None:
    assert _read(f"Body=Basta&OptOutType={kind}").said[0].is_stop is is_stop


@pytest.mark.parametrize(
    ("body", "is_form"),
    [
        (b"a=1&b=", True),
        (b"&".join([b"a=1"] * 500), True),
        (b"&".join([b"a=1"] * 501), False),
        (b"a=\xff", False),
        (b"a=%ff", False),
    ],
)
def test_a_body_is_a_form_of_at_most_500_fields(body: bytes, is_form: bool) -> None:
    if is_form:
        assert twilio.fields(body)[0] == ("a", "1")
    else:
        with pytest.raises(UnparsableError, match=r"^The body is no form\.$"):
            twilio.fields(body)


def test_an_empty_field_is_a_field_of_what_is_signed() -> None:
    url, form = "https://campaigns.example/x", {"a": "", "B": "2", "b": "1"}
    headers, body = signing.twilio(url, form)
    lowered = {name.lower(): value for name, value in headers.items()}
    twilio.verify(Delivery(lowered, body, url), signing.SECRET)
    with pytest.raises(SignatureError, match="CAMPAIGNS_PUBLIC_URL"):
        twilio.verify(Delivery(lowered, body.replace(b"a=&", b""), url + "/"), signing.SECRET)


def test_an_address_that_is_no_unicode_is_refused_like_any_other_wrong_one() -> None:
    with pytest.raises(SignatureError):
        twilio.verify(Delivery({}, b"a=1", "https://campaigns.example/\udc80"), signing.SECRET)


@pytest.mark.parametrize("status", ["failed", "undelivered"])
def test_a_failure_without_a_code_has_no_reason(status: str) -> None:
    (found,) = _read(f"MessageStatus={status}").reported
    assert found.details is not None and found.details.reason is None


def test_a_message_without_a_sender_is_an_sms_of_no_address() -> None:
    (said,) = _read("Body=x").said
    assert (said.channel, said.address) == ("sms", "")
