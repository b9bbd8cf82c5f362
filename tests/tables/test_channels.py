"""One spelling of each address, whoever typed it, and what a message costs on its channel."""

from __future__ import annotations

import re

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from tables.channels import CHANNELS, email, hints, phone, push_token

emails = st.builds(
    "{}@{}.{}".format,
    st.text("abzAZ09._+-", min_size=1, max_size=70),
    st.text("abzAZ09-.", min_size=1, max_size=70),
    st.sampled_from(["com", "c", "test", "local", "invalid", "COM", "museum"]),
)


@given(emails)
def test_plain_addresses_are_spelled_as_the_library_spells_them(text: str) -> None:
    """The short way takes a 25th of the time and must agree with the long one."""
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError:
        with pytest.raises(ValueError, match=r"^email: not a valid address$"):
            email(text)
    else:
        assert email(text) == (found.ascii_email or found.normalized).lower()


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (" Ana@Example.COM\n", "ana@example.com"),
        ("ana+news@example.com", "ana+news@example.com"),
        ("ana@bücher.example.com", "ana@xn--bcher-kva.example.com"),
        ("änä@example.com", "änä@example.com"),
        ("ana@test", "ana@test"),
        ("ana@a.test", "ana@a.test"),
        ("a" * 52 + "@example.com", "a" * 52 + "@example.com"),
    ],
)
def test_an_address_of_email_has_one_spelling(text: str, spelled: str) -> None:
    assert email(text) == spelled
    assert email(spelled) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ana",
        "ana@",
        "@example.com",
        "ana@example",
        "ana@localhost",
        "ana@printer.local",
        "ana@nowhere.invalid",
        "ana..b@example.com",
        "ana@-example.com",
        "ana@example.com ben@example.com",
        "a" * 65 + "@example.com",
        "Ana <ana@example.com>",
    ],
)
def test_what_is_no_address_of_email_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^email: not a valid address$"):
        email(text)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("+12025550123", "+12025550123"),
        ("+1 (202) 555-0123", "+12025550123"),
        ("+49 30 123456", "+4930123456"),
        ("+49 (0)30 123456", "+4930123456"),
        ("tel:+49-30-123456", "+4930123456"),
        ("+44 20 7946 0018 ", "+442079460018"),
        ("＋４９３０１２３４５６", "+4930123456"),
    ],
)
def test_a_phone_number_is_spelled_in_e164(text: str, spelled: str) -> None:
    assert phone(text) == spelled
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", spelled)
    assert phone(spelled) == spelled


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "country code"),
        ("030 123456", "country code"),
        ("0049 30 123456", "country code"),
        ("+999 123456", "country code"),
        ("call me", "country code"),
        ("+1 202 555 012", "length"),
        ("+1 202 555 01234", "length"),
        ("+49", "country code"),
    ],
)
def test_a_number_without_country_or_of_no_possible_length_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"^phone: .*{rule}"):
        phone(text)


@given(st.integers(2_000_000_000, 9_999_999_999))
def test_numbers_of_north_america_take_the_short_way_to_the_same_spelling(number: int) -> None:
    text = f"+1{number}"
    spaced = f"+1 {str(number)[:3]} {str(number)[3:6]} {str(number)[6:]}"
    assert phone(text) == phone(spaced) == text


def test_a_device_token_is_kept_as_it_is() -> None:
    assert push_token(" aB3:_-~! ") == "aB3:_-~!"
    assert push_token("x" * 512) == "x" * 512
    for wrong in ("", " ", "x" * 513, "a b", "a\tb", "é", "a\x7f", "a\0"):
        with pytest.raises(ValueError, match=r"^pushToken: 1 to 512 printable ASCII characters"):
            push_token(wrong)


@given(st.text(max_size=12))
def test_no_text_is_a_bug_and_a_spelling_is_its_own(text: str) -> None:
    for spell in (email, phone, push_token):
        try:
            spelled = spell(text)
        except ValueError:
            continue
        assert spell(spelled) == spelled


def test_every_channel_says_what_its_messages_need() -> None:
    for name, channel in CHANNELS.items():
        assert channel.required and set(channel.required) <= set(channel.content), name
        assert min(channel.content.values()) >= 200
    assert {name: channel.column for name, channel in CHANNELS.items()} == {
        "email": "email",
        "sms": "phone",
        "whatsapp": "phone",
        "push": "push_token",
    }


@pytest.mark.parametrize(
    ("channel", "content", "expected"),
    [
        ("email", {"subject": "s", "text": "é"}, {"bytes": 2, "limit": 102_000}),
        ("email", {"subject": "s", "html": "", "text": "abc"}, {"bytes": 3, "limit": 102_000}),
        ("email", {"subject": "s"}, {"bytes": 0, "limit": 102_000}),
        ("whatsapp", {"text": "é😀"}, {"characters": 2, "limit": 4096}),
        ("whatsapp", {}, {"characters": 0, "limit": 4096}),
        ("push", {"title": "é", "body": "ab", "link": "c"}, {"bytes": 5, "limit": 4096}),
        ("sms", {}, {"encoding": "GSM-7", "units": 0, "segments": 0, "unitsLeft": 160}),
        (
            "sms",
            {"text": "\ud800"},
            {"encoding": "UCS-2", "units": 1, "segments": 1, "unitsLeft": 69},
        ),
    ],
)
def test_hints_count_what_is_there(
    channel: str, content: dict[str, str], expected: dict[str, object]
) -> None:
    assert hints(channel, content) == expected
