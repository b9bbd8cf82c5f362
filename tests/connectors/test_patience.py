"""Texts that once took minutes, made to choke a regular expression: each must be read in the blink
of an eye.
"""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from connectors.templates.checks import check_template
from connectors.webhooks.delivery import reason
from streams.errors import CampaignError
from tables.channels import email

_SOURCES = (
    "<a " * 100_000,
    "<a href='http://" * 20_000,
    "http://a" + ")" * 300_000,
    "{{ a }}" * 60_000,
)
_BLINK = 1.0  # seconds of this thread; all of them take a hundredth on a quiet machine


@pytest.mark.parametrize(
    "text",
    ["a" * 62, "a" * 200_000, "a.b" * 20 + "!", "a@" + "b-" * 30, "é" * 3_000 + "@x.com"],
    ids=range(5),
)
def test_an_address_is_refused_at_once(text: str) -> None:
    began = time.thread_time()
    with pytest.raises(ValueError, match="not a valid address"):
        email(text)
    assert time.thread_time() - began < _BLINK


@pytest.mark.parametrize("part", ["html", "text"])
@pytest.mark.parametrize("source", _SOURCES, ids=range(len(_SOURCES)))
def test_a_template_is_checked_at_once(part: str, source: str) -> None:
    began = time.thread_time()
    with suppress(CampaignError):  # too long, or not closed: that is for other tests
        check_template("email", {"subject": "x", part: source})
    assert time.thread_time() - began < 3 * _BLINK


def test_the_words_of_a_provider_are_cleaned_at_once() -> None:
    began = time.thread_time()
    cleaned = reason("ana@example.com " + "x" * 1_000_000)
    assert time.thread_time() - began < _BLINK
    assert cleaned is not None and "ana@" not in cleaned and len(cleaned) <= 500
