"""What every provider's reader shares: words that end it, reasons without addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from connectors.webhooks.delivery import (
    Read,
    SignatureError,
    UnparsableError,
    check_age,
    each,
    elements,
    equal,
    instant,
    reason,
)
from connectors.webhooks.stop_words import is_stop


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


NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)
TOLERANCE = timedelta(minutes=5)


@pytest.mark.parametrize("seconds", [0, 300, -300])
def test_a_signed_time_up_to_the_tolerance_from_now_is_young_enough(seconds: int) -> None:
    check_age(str(int(NOW.timestamp()) + seconds), NOW, TOLERANCE)


@pytest.mark.parametrize("seconds", [301, -301])
def test_a_signed_time_a_second_further_is_too_old(seconds: int) -> None:
    with pytest.raises(SignatureError, match="signed too long ago, or its time is wrong"):
        check_age(str(int(NOW.timestamp()) + seconds), NOW, TOLERANCE)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.5", "1769590800 ", "１７６９５９０８００", "1" * 13, "1e9", "0x1"]
)
def test_what_is_no_time_in_whole_seconds_is_no_signed_time(text: str) -> None:
    with pytest.raises(SignatureError):
        check_age(text, NOW, timedelta(days=1_000_000))


def test_a_time_of_twelve_digits_is_one_whatever_the_calendar_says() -> None:
    check_age("9" * 12, NOW, timedelta(seconds=10**13))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        ("1769590800", "2026-01-28T09:00:00.000Z"),
        (1_769_590_800.25, "2026-01-28T09:00:00.250Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        ("soon", None),
        ("", None),
        (None, None),
        ([], None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
        (253_402_300_800, None),  # the year 10000
    ],
)
def test_unix_seconds_are_an_instant_and_anything_else_is_none(
    seconds: object, expected: str | None
) -> None:
    assert instant(seconds) == expected


class _Element(msgspec.Struct):
    a: int = 0


@pytest.mark.parametrize(
    ("body", "expected", "unusable"),
    [
        (b'[{"a": 1}, {"a": 2}]', [1, 2], 0),
        (b' \n[{"a": 1}]', [1], 0),
        (b'{"a": 3}', [3], 0),
        (b"[]", [], 0),
        (b'[1, {"a": 1}, null, {"a": "x"}, [], {}]', [1, 0], 4),
        (b'"text"', [], 1),
    ],
)
def test_the_elements_of_a_body_are_read_one_by_one(
    body: bytes, expected: list[int], unusable: int
) -> None:
    read = Read()
    assert [found.a for found in each(elements(body), _Element, read)] == expected
    assert read.unusable == unusable


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[1", b"{", b"\xff", b"[1]x", b"[" * 5_000 + b"]" * 5_000]
)
def test_a_body_that_is_no_json_has_no_elements(body: bytes) -> None:
    with pytest.raises(UnparsableError, match="not JSON in the provider's format"):
        elements(body)


def test_an_event_without_our_id_is_ignored_and_not_reported() -> None:
    read = Read()
    for missing in (None, ""):
        read.add("opened", missing, "2026-01-28T09:00:00.000Z")
    read.add("opened", "id", "2026-01-28T09:00:00.000Z")
    assert (len(read.reported), read.ignored, read.unusable) == (1, 2, 0)


@pytest.mark.parametrize(
    ("given", "expected", "is_equal"),
    [("a", "a", True), ("a", "b", False), ("", "", True), ("é", "é", True), ("\ud800", "?", True)],
)
def test_a_signature_is_compared_whatever_characters_it_has(
    given: str, expected: str, is_equal: bool
) -> None:
    assert equal(given, expected) is is_equal


def test_of_an_endless_reason_whole_words_are_searched_and_the_beginning_is_kept() -> None:
    words = "word " * 799  # 3,995 characters
    kept = reason(words + "a@b.example")
    assert kept is not None
    assert (len(kept), kept[:9]) == (500, "word word")
    # an address over the end of what is searched would leave half of itself: its word is left out
    assert reason("x" * 3_990 + " ana@example.com") == "x" * 500
    assert reason("x" * 4_000) == "x" * 500
    assert reason("x" * 4_001) is None


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((550, "5.1.1", None, " no such user "), "550 5.1.1 no such user"),
        (("", None), None),
        ((0,), "0"),
        (("+491511234567",), "<number>"),
        (("123456",), "123456"),
        (("1234567",), "<number>"),
        (("ana@example.com,ben@example.com",), "<address>,<address>"),
        (('"ana"@example.com',), '"ana"@example.com'),
        (("mailto:ana@example.com;x",), "mailto:<address>;x"),
    ],
)
def test_a_reason_is_one_text_without_addresses_and_numbers(
    parts: tuple[str | int | None, ...], expected: str | None
) -> None:
    assert reason(*parts) == expected


@pytest.mark.parametrize(("length", "is_one"), [(40, True), (41, False)])
def test_a_long_message_is_a_sentence_that_happens_to_hold_the_word(
    length: int, is_one: bool
) -> None:
    assert is_stop("stop" + "!" * (length - 4)) is is_one
