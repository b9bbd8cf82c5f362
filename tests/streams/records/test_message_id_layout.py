"""The layout of message ids: what each part of one says, and that nobody else can make one."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.records.message_id import (
    FIRST_DIGIT,
    MAX_NUMBER,
    MAX_ORDINAL,
    OTHER_DIGITS,
    SHARD,
    SHARD_BITS,
    SHARD_SIZE,
    TESTS,
    InvalidMessageIdError,
    MessageIds,
    campaign_number,
    is_test,
    recipient,
)

IDS = MessageIds([b"k" * 16, b"l" * 16])
NUMBERS, ORDINALS = st.integers(1, MAX_NUMBER), st.integers(0, MAX_ORDINAL)


@given(NUMBERS, ORDINALS, st.sampled_from((0, 1)))
def test_every_part_is_read_as_it_was_made(number: int, ordinal: int, epoch: int) -> None:
    made = IDS.make(number, ordinal, "acme", epoch)
    assert UUID(made).version == 8 and str(UUID(made)) == made
    assert IDS.verify(made, "acme") == recipient(made) == (number, ordinal)
    assert campaign_number(made) == number and not is_test(made)
    assert int(made[FIRST_DIGIT] + made[OTHER_DIGITS], 16) == ordinal % SHARD_SIZE
    assert IDS.make_many(number, [ordinal], "acme", epoch) == [made]


@given(NUMBERS, ORDINALS, NUMBERS, ORDINALS)
def test_two_ids_have_one_beginning_when_campaign_and_shard_are_the_same(
    number: int, ordinal: int, other: int, other_ordinal: int
) -> None:
    keys = [
        IDS.make(*it, "acme", 0)[SHARD]
        for it in ((number, ordinal), (other, other_ordinal), (number, ordinal ^ 0xFF))
    ]
    is_same = (number, ordinal >> SHARD_BITS) == (other, other_ordinal >> SHARD_BITS)
    assert (keys[0] == keys[1]) == is_same
    assert keys[0] == keys[2]


def test_an_id_of_a_trial_send_is_known_without_a_check() -> None:
    assert is_test(IDS.make(TESTS, 77, "acme", 0)) and not is_test(IDS.make(1, 77, "acme", 0))


@given(NUMBERS, ORDINALS, st.integers(0, 35), st.sampled_from("0123456789abcdef-"))
def test_an_id_with_one_other_character_is_refused(
    number: int, ordinal: int, place: int, other: str
) -> None:
    made = IDS.make(number, ordinal, "acme", 0)
    changed = made[:place] + other + made[place + 1 :]
    if changed != made:
        with pytest.raises(InvalidMessageIdError):
            IDS.check(changed, "acme")


def test_an_id_of_another_tenant_or_key_is_forged_and_nonsense_has_no_format() -> None:
    made = IDS.make(7, 8, "acme", 1)
    for ids, text, tenant, code in (
        (IDS, made, "globex", "id-forged"),
        (MessageIds([b"k" * 16]), made, "acme", "id-forged"),
        (IDS, made.upper(), "acme", "id-forged"),
        (IDS, "", "acme", "id-format"),
        (IDS, made + "0", "acme", "id-format"),
    ):
        with pytest.raises(InvalidMessageIdError) as refused:
            ids.check(text, tenant)
        assert refused.value.code == code
