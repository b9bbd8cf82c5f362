"""The parts of an answer that a provider's module reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.delivery.classification import Verdict
from connectors.delivery.http.exchange import Answer, meaning

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def _pause(value: str) -> timedelta:
    return Answer(429, {"retry-after": value}, b"").pause(NOW)


@given(st.integers(0, 86_400))
def test_retry_after_is_seconds_or_a_date(seconds: int) -> None:
    assert _pause(str(seconds)) == timedelta(seconds=seconds)
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert _pause(date) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Sun, 01 Nov 2026 11:00:00 GMT", 0),  # it is over
        ("Sun, 01 Nov 2026 12:00:30 -0000", 30),
        ("99999999", 86_400),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86_400),
        *((odd, 0) for odd in ("", "-5", "1.5", "soon", "1e9", "９", "9" * 30, "\x00")),
    ],
)
def test_a_pause_is_a_day_at_most_and_none_where_nothing_can_be_read(
    value: str, seconds: int
) -> None:
    assert _pause(value) == timedelta(seconds=seconds)


@given(st.binary(max_size=300), st.integers(200, 599))
def test_whatever_a_body_is_its_words_are_one_line(body: bytes, status: int) -> None:
    answer = Answer(status, {}, body)
    assert answer.form.text("message") is not None
    words = meaning(answer).words
    assert words.isprintable() and words.startswith(str(status))


def test_the_words_of_a_form_stand_in_place_of_the_body() -> None:
    answer = Answer(400, {}, b'{"message": "no"}')
    assert meaning(answer, answer.form.text("message"), "").words == "400 no"
    assert meaning(answer).words == '400 {"message": "no"}'
    assert meaning(answer, verdict=Verdict.HARD).verdict is Verdict.HARD
    assert "no" not in repr(answer) and "no" not in repr(meaning(answer))
