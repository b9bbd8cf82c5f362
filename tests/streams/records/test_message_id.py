"""Message ids: the same for the same message, of a known form, and nobody else can make one."""

from __future__ import annotations

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from streams.records.message_id import (
    MAX_ORDINAL,
    SHARD_SIZE,
    TESTS,
    InvalidMessageIdError,
    MessageIds,
    Recipient,
    is_test,
    recipient,
)
from streams.settings import Settings

KEYS = [bytes([number]) * 32 for number in range(1, 5)]
IDS = MessageIds(KEYS)
numbers = st.integers(0, (1 << 48) - 1)
ordinals = st.integers(0, MAX_ORDINAL)
tenants = st.text(min_size=1, max_size=20)
epochs = st.integers(0, 3)


@given(numbers, ordinals, tenants, epochs)
def test_an_id_names_its_campaign_and_recipient(
    number: int, ordinal: int, tenant: str, epoch: int
) -> None:
    made = IDS.make(number, ordinal, tenant, epoch)
    assert IDS.verify(made, tenant) == recipient(made) == Recipient(number, ordinal)
    assert made == IDS.make(number, ordinal, tenant, epoch)


@given(numbers, ordinals, tenants, epochs)
def test_an_id_is_a_uuid_of_version_8_with_the_epoch_behind_its_variant(
    number: int, ordinal: int, tenant: str, epoch: int
) -> None:
    made = IDS.make(number, ordinal, tenant, epoch)
    assert str(UUID(made)) == made
    assert (UUID(made).version, UUID(made).variant) == (8, RFC_4122)
    assert UUID(made).int >> 80 == number
    assert UUID(made).int >> 60 & 0b11 == epoch


def test_ids_stay_what_they_are_from_release_to_release() -> None:
    """A changed layout or MAC would make every message in flight a stranger's."""
    assert [
        IDS.make(1, 0, "acme", 0),
        IDS.make(0xABCDEF012345, 0x123456, "acme", 1),
        IDS.make((1 << 48) - 1, MAX_ORDINAL, "ü", 3),
    ] == [
        "00000000-0001-8000-8000-7872145ff106",
        "abcdef01-2345-8123-9456-ac9b65c78959",
        "ffffffff-ffff-8fff-bfff-95d1cf102055",
    ]


@given(numbers, st.lists(ordinals, max_size=20), tenants, epochs)
def test_many_ids_at_once_are_those_made_one_by_one(
    number: int, some: list[int], tenant: str, epoch: int
) -> None:
    one_by_one = [IDS.make(number, ordinal, tenant, epoch) for ordinal in some]
    assert IDS.make_many(number, some, tenant, epoch) == one_by_one


@given(
    numbers, ordinals, tenants, epochs, st.integers(0, 35), st.sampled_from("0123456789abcdefAF-")
)
def test_an_id_with_another_character_anywhere_is_not_ours(
    number: int, ordinal: int, tenant: str, epoch: int, position: int, character: str
) -> None:
    made = IDS.make(number, ordinal, tenant, epoch)
    changed = made[:position] + character + made[position + 1 :]
    if changed == made:
        return
    with pytest.raises(InvalidMessageIdError):
        IDS.verify(changed, tenant)


@given(numbers, ordinals, st.lists(tenants, min_size=2, max_size=2, unique=True), epochs)
def test_an_id_of_another_tenant_is_forged(
    number: int, ordinal: int, two: list[str], epoch: int
) -> None:
    with pytest.raises(InvalidMessageIdError) as refused:
        IDS.verify(IDS.make(number, ordinal, two[0], epoch), two[1])
    assert refused.value.code == "id-forged"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "id-format"),
        ("00000000-0001-8000-8000-00000000000", "id-format"),
        ("00000000-0001-8000-8000-0000000000000", "id-format"),
        ("00000000-0001-7000-8000-000000000000", "id-format"),  # another version
        ("00000000-0001-8000-c000-000000000000", "id-format"),  # another variant
        ("00000000-0001-8000-A000-000000000000", "id-format"),
        ("00000000-0001-8000-8000-000000000000", "id-forged"),
        ("zzzzzzzz-zzzz-8zzz-8zzz-zzzzzzzzzzzz", "id-forged"),
        ("00000000-0001-8000-8000-00000000000é", "id-forged"),
    ],
)
def test_a_text_that_is_no_id_of_ours_says_why(text: str, code: str) -> None:
    with pytest.raises(InvalidMessageIdError) as refused:
        IDS.check(text, "acme")
    assert (refused.value.code, str(refused.value)) == (code, code)


@pytest.mark.parametrize("epoch", range(4))
def test_an_id_outlives_newer_keys_and_dies_with_its_own(epoch: int) -> None:
    made = IDS.make(7, 7, "acme", epoch)
    for keys in range(1, 5):
        verifier = MessageIds(KEYS[:keys])
        if keys > epoch:
            assert verifier.verify(made, "acme") == Recipient(7, 7)
        else:
            with pytest.raises(InvalidMessageIdError) as refused:
                verifier.verify(made, "acme")
            assert refused.value.code == "id-forged"


@given(numbers, numbers, ordinals, ordinals, epochs)
def test_the_first_17_characters_name_the_campaign_and_the_high_part_of_the_ordinal(
    one: int, other: int, first: int, second: int, epoch: int
) -> None:
    left, right = IDS.make(one, first, "a", epoch), IDS.make(other, second, "b", 0)
    is_same = (one, first // SHARD_SIZE) == (other, second // SHARD_SIZE)
    assert (left[:17] == right[:17]) == is_same


@given(numbers, ordinals)
def test_only_ids_of_the_campaign_zero_are_of_test_messages(number: int, ordinal: int) -> None:
    assert is_test(IDS.make(number, ordinal, "acme", 0)) == (number == TESTS)
    assert is_test(IDS.make(TESTS, ordinal, "acme", 0))
    assert not is_test(IDS.make(1 << 32, ordinal, "acme", 0))
    assert not is_test(IDS.make(1, ordinal, "acme", 0))


def test_keys_come_from_the_settings_in_the_order_of_their_epochs() -> None:
    settings = Settings(
        kafka="nowhere:1",
        postgres="",
        nats="",
        message_keys=tuple(SecretStr(key.hex()) for key in KEYS[:2]),
    )
    assert MessageIds.of(settings).make(1, 2, "acme", 1) == IDS.make(1, 2, "acme", 1)
    assert settings.key_epoch == 1
