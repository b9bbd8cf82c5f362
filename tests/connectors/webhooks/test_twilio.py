"""What Twilio reports of SMS and WhatsApp, and what recipients say through it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.webhooks import twilio
from connectors.webhooks.delivery import Delivery, Read, SignatureError, Wish
from connectors.webhooks.forms import UnparsableError
from streams.records.reported_events import Details
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
        ({"MessageStatus": "accepted"}, [("accepted", {})]),
        ({"MessageStatus": "queued"}, [("accepted", {})]),
        ({"MessageStatus": "sending"}, [("accepted", {})]),
        ({"MessageStatus": "sent"}, [("accepted", {})]),
        ({"MessageStatus": "scheduled"}, []),
        ({"MessageStatus": "canceled"}, []),
    ],
    ids=lambda value: (
        None if isinstance(value, list) else value.get("ErrorCode", value["MessageStatus"])
    ),
)
def test_a_status_of_twilio_is_read_in_our_words(form: dict[str, str], expected: object) -> None:
    _, body = signing.twilio("", {"MessageSid": "SM1", "To": "+15005550006", **form})
    assert [
        shown(one) for one in twilio.read(Delivery({}, body, query={"messageId": ID}), NOW).reported
    ] == expected


def test_a_message_of_twilio_is_a_wish_or_a_reply() -> None:
    def said(**form: str) -> Any:
        _, body = signing.twilio("", {"MessageSid": "SM1", "SmsStatus": "received", **form})
        return twilio.read(Delivery({}, body), NOW).said[0]

    stop = said(From="+15005550006", Body="Stop.")
    assert (stop.channel, stop.address, stop.at, stop.identity, stop.wish, stop.is_reply) == (
        "sms",
        "+15005550006",
        NOW,
        "SM1",
        Wish.STOP,
        False,
    )
    chat = said(From="whatsapp:+15005550006", Body="please stop calling me")
    assert (chat.channel, chat.address, chat.wish) == ("whatsapp", "+15005550006", None)
    assert said(From="+15005550006", Body="Arrêt", OptOutType="STOP").wish is Wish.STOP
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
        ("63003", "hard"),
        ("63024", "soft"),
        ("30003", "soft"),
    ],
)
def test_a_number_that_cannot_be_reached_again_bounces_hard(code: str, bounce: str) -> None:
    for status in ("undelivered", "failed"):
        (found,) = _read(f"MessageStatus={status}&ErrorCode={code}").reported
        assert shown(found) == ("bounced", {"reason": f"error {code}", "bounceType": bounce})


@pytest.mark.parametrize("code", ["", "30008", "99999"])
def test_without_a_telling_code_the_status_says_whether_the_carrier_was_asked(code: str) -> None:
    why = {"reason": f"error {code}"} if code else {}
    (undelivered,) = _read(f"MessageStatus=undelivered&ErrorCode={code}").reported
    assert shown(undelivered) == ("bounced", {**why, "bounceType": "soft"})
    (failed,) = _read(f"MessageStatus=failed&ErrorCode={code}").reported
    assert shown(failed) == ("failed", why)


@pytest.mark.parametrize("code", ["21610", "63014", "63033"])
@pytest.mark.parametrize("status", ["undelivered", "failed"])
def test_who_has_opted_out_at_twilio_has_unsubscribed_with_us(code: str, status: str) -> None:
    kinds = [shown(one)[0] for one in _read(f"MessageStatus={status}&ErrorCode={code}").reported]
    assert kinds == ["unsubscribed", "failed"]


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


@pytest.mark.parametrize(
    ("kind", "meant"), [("STOP", Wish.STOP), ("START", Wish.START), ("HELP", None), ("stop", None)]
)
def test_what_twilio_has_understood_is_the_wish(kind: str, meant: Wish | None) -> None:
    assert _read(f"Body=Nada&OptOutType={kind}").said[0].wish is meant


@pytest.mark.parametrize("field", ["Body", "ButtonText", "ListTitle"])
def test_a_wish_is_heard_wherever_a_text_can_stand(field: str) -> None:
    form = f"SmsStatus=received&Body=&{field}=ARR%C3%8AT%20%F0%9F%9B%91"
    assert _read(form).said[0].wish is Wish.STOP


@pytest.mark.parametrize(
    ("sender", "channel", "address"),
    [
        ("%2B1500", "sms", "+1500"),
        ("rcs:%2B1500", "sms", "+1500"),
        ("whatsapp:%2B1500", "whatsapp", "+1500"),
        ("whatsapp:US.13491208655302741918", "whatsapp", "US.13491208655302741918"),
    ],
)
def test_the_sender_is_an_address_of_its_channel(sender: str, channel: str, address: str) -> None:
    (said,) = _read(f"SmsStatus=received&From={sender}&Body=x").said
    assert (said.channel, said.address) == (channel, address)


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
    assert (found.details or Details()).reason is None


def test_a_message_without_a_sender_is_an_sms_of_no_address() -> None:
    (said,) = _read("Body=x").said
    assert (said.channel, said.address) == ("sms", "")
