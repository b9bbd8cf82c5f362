"""Texts that once took minutes, made to choke a regular expression: the time to read each grows
with its length and not with the square of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from connectors.templates.checks import check_template
from connectors.webhooks.delivery import reason
from streams.errors import CampaignError
from tables.channels import email
from tests.pace import pace, thread_seconds

_PIECES = ("<a ", "<a href='http://", "http://a", ")", "{{ a }}", "{% if a %}", "&lt;", "{# ")
_SHORT, _TIMES = 45_000, 4  # characters; four times as many are just not too long
_MOST = 8.0  # the time may grow by; 4 is in proportion, 16 is its square


def _grows(work: Callable[[int], object], short: int) -> float:
    """How many times as long four times the length takes; 0 when it is too short to be measured."""
    times = [
        min(thread_seconds(partial(work, length)) for _ in range(7))
        for length in (short, _TIMES * short)
    ]
    return 0.0 if times[1] < pace() / 100 else times[1] / times[0]


@pytest.mark.parametrize(
    "text",
    ["a" * 62, "a" * 63 + "!", "a.b" * 20 + "!", "a@" + "b-" * 30, "é" * 3_000 + "@x.com"],
    ids=range(5),
)
def test_an_address_is_refused_at_once(text: str) -> None:
    def refused() -> None:
        with pytest.raises(ValueError, match="not a valid address"):
            email(text)

    assert thread_seconds(refused) < pace()


@pytest.mark.parametrize("text", ["a", "a.", "a@", "é"])
def test_the_time_for_an_address_grows_with_its_length(text: str) -> None:
    def refused(length: int) -> None:
        with pytest.raises(ValueError, match="not a valid address"):
            email(text * (length // len(text)))

    assert _grows(refused, 50_000) < _MOST


@pytest.mark.parametrize("part", ["html", "text"])
@pytest.mark.parametrize("start", ["", "http://a"])
@pytest.mark.parametrize("piece", _PIECES)
def test_the_time_for_a_template_grows_with_its_length(part: str, start: str, piece: str) -> None:
    def checked(length: int) -> None:
        with suppress(CampaignError):  # not closed, for example: that is for other tests
            source = start + piece * (length // len(piece))
            check_template("email", {"subject": "x", part: source})

    assert _grows(checked, _SHORT) < _MOST


def test_a_template_that_is_far_too_long_is_refused_at_once() -> None:
    def refused() -> None:
        with pytest.raises(CampaignError):
            check_template("email", {"subject": "x", "html": "<a " * 100_000})

    assert thread_seconds(refused) < pace()


def test_the_words_of_a_provider_are_cleaned_in_a_time_that_grows_with_their_length() -> None:
    cleaned = reason("ana@example.com " + "x" * 1_000_000)
    assert cleaned is not None and "ana@" not in cleaned and len(cleaned) <= 500
    assert _grows(lambda length: reason("ana@example.com " + "x" * length), 250_000) < _MOST
