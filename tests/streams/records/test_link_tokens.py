"""Tokens of links: who has a message id has no token, and who has one token has no other."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.records.link_tokens import LinkTokens, Purpose
from streams.records.message_id import (
    MAX_ORDINAL,
    InvalidMessageIdError,
    MessageIds,
    Recipient,
)
from streams.settings.message_keys import MessageKey, Use

KEYS = [bytes([n]) * 32 for n in range(4)]
TOKENS, IDS = LinkTokens(KEYS), MessageIds(KEYS)
numbers = st.integers(0, (1 << 47) - 1)
ordinals = st.integers(0, MAX_ORDINAL)


@given(numbers, ordinals, st.integers(0, 3), st.text("abc-", min_size=1, max_size=9))
def test_a_token_names_its_recipient_for_its_own_purpose_only(
    number: int, ordinal: int, epoch: int, tenant: str
) -> None:
    made = TOKENS.make(IDS.make(number, ordinal, tenant, epoch))
    for token, purpose in zip(made, Purpose, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9_-]{24}", token)
        assert TOKENS.read(token, purpose) == Recipient(number, ordinal)
        [other] = [one for one in Purpose if one is not purpose]
        with pytest.raises(InvalidMessageIdError):
            TOKENS.read(token, other)


@given(numbers, ordinals, st.integers(0, 23), st.sampled_from("AZaz09-_"))
def test_no_changed_token_passes(number: int, ordinal: int, place: int, letter: str) -> None:
    for token, purpose in zip(TOKENS.make(IDS.make(number, ordinal, "t", 0)), Purpose, strict=True):
        changed = token[:place] + letter + token[place + 1 :]
        if changed != token:
            with pytest.raises(InvalidMessageIdError):
                TOKENS.read(changed, purpose)


@given(st.text(max_size=40) | st.text("A-_9", min_size=24, max_size=24))
def test_any_other_text_is_refused(text: str) -> None:
    for purpose in Purpose:
        with pytest.raises(InvalidMessageIdError):
            TOKENS.read(text, purpose)


def test_a_token_holds_as_long_as_its_key_is_known() -> None:
    [(token, _)] = TOKENS.make_many(7, 8, epoch=2)
    assert LinkTokens(KEYS[:3]).read(token, Purpose.UNSUBSCRIBE) == Recipient(7, 8)
    with pytest.raises(InvalidMessageIdError, match="id-forged"):
        LinkTokens(KEYS[:2]).read(token, Purpose.UNSUBSCRIBE)


def test_a_key_that_leaked_makes_no_token_that_is_believed() -> None:
    """Whatever its epoch: the two bits of a message id do not tell seven from three."""
    keys = [MessageKey(3, KEYS[0]), MessageKey(7, KEYS[1])]
    [(token, tracking)] = LinkTokens(keys).make_many(7, 8, epoch=3)
    newest = LinkTokens(keys).make(IDS.make(7, 8, "acme", 3))
    withdrawn = LinkTokens([MessageKey(3, KEYS[0], Use.WITHDRAWN), keys[1]])
    for given_away, good, purpose in zip((token, tracking), newest, Purpose, strict=True):
        assert LinkTokens(keys).read(given_away, purpose) == Recipient(7, 8)
        with pytest.raises(InvalidMessageIdError, match="id-forged"):
            withdrawn.read(given_away, purpose)
        assert withdrawn.read(good, purpose) == Recipient(7, 8)


def test_a_token_stays_what_it_was() -> None:
    """Links that are mailed out must hold for years."""
    assert TOKENS.make_many(42, 7, epoch=0) == [
        ("AAAAAAAqAAAHFWIn17tKZDT8", "AAAAAAAqAAAHzmVa-sZiaDpW")
    ]
