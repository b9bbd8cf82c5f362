"""What every provider's reader shares: ages of signatures, reasons without addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.webhooks.delivery import SignatureError, check_age, equal, reason


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


def test_a_provider_that_repeats_its_first_signature_may_be_late_and_no_earlier() -> None:
    late, early = (str(int(NOW.timestamp()) + seconds) for seconds in (-28_800, 28_800))
    check_age(late, NOW, TOLERANCE, timedelta(hours=8))
    with pytest.raises(SignatureError):
        check_age(early, NOW, TOLERANCE, timedelta(hours=8))


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
