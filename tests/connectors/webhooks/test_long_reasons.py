"""Addresses are taken out of a reason in a time that grows with its length, whatever it says; a
document has so many elements.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.webhooks.delivery import (
    _ADDRESS,
    MOST_ELEMENTS,
    Delivery,
    Read,
    TooManyElementsError,
    reason,
)
from connectors.webhooks.sendgrid import read

_NOW = datetime(2026, 11, 27, tzinfo=UTC)
# As it was once written: true, and quadratic.
_SLOW = re.compile(r"[^\s<>@\"'(),;:\[\]]+@[^\s<>@\"'(),;:\[\]]+")
_SHAPES = {
    "a word": "a",
    "a number": "1",
    "at signs": "@",
    "at the end": "a." * 7 + "<",
    "addresses": "a@b",
    "halves": "a@<",
    "letters and signs": "a@@",
    "plus signs": "+1",
    "spaces": " ",
}


@given(st.text(st.sampled_from("ab.@<>(),;: \t[]\"'é")) | st.text())
@example("a@b@c@d")
@example("x <ana@example.com>: no such user")
def test_the_same_addresses_are_found_as_ever(text: str) -> None:
    assert _ADDRESS.sub("<address>", text) == _SLOW.sub("<address>", text)


def _seconds(text: str, times: int) -> float:
    """Of CPU; the least of several rounds, because the machine may be busy."""
    rounds = list[float]()
    for _ in range(7):
        began = time.process_time()
        for _ in range(times):
            reason(text)
        rounds.append(time.process_time() - began)
    return min(rounds)


@pytest.mark.parametrize("shape", _SHAPES.values(), ids=_SHAPES)
def test_eight_times_the_length_takes_about_eight_times_as_long(shape: str) -> None:
    """With the square it would be 64 times."""
    short, long = (shape * 4_000)[:500], (shape * 4_000)[:4_000]
    assert _seconds(long, 20) < 3 * _seconds(short, 160) + 0.002


def test_a_document_has_at_most_ten_thousand_elements() -> None:
    full = b"[" + b",".join([b"{}"] * MOST_ELEMENTS) + b"]"
    assert read(Delivery({}, full), _NOW).ignored == MOST_ELEMENTS
    with pytest.raises(TooManyElementsError, match="more than 10,000 elements"):
        read(Delivery({}, full[:-1] + b",{}]"), _NOW)


def test_the_elements_of_all_arrays_of_a_document_count_together() -> None:
    found = Read(_NOW)
    half: list[object] = [{}] * (MOST_ELEMENTS // 2)
    for _ in range(2):
        assert len(list(found.forms(half))) == len(half)
    with pytest.raises(TooManyElementsError):
        list(found.forms(half))
