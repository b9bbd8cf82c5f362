"""The list of message keys: every way to write it, the key that signs, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from streams.records.message_id import (
    InvalidMessageIdError,
    MessageIds,
    Recipient,
    UnknownKeyError,
)
from streams.settings import Settings
from streams.settings.message_keys import MessageKey, Use, message_keys

A, B, C = ("0a" * 32, "1b" * 32, "2c" * 32)
KEYS = st.lists(
    st.builds(
        MessageKey,
        st.integers(0, 255),
        st.binary(min_size=16, max_size=64),
        st.sampled_from(Use),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda key: key.epoch,
).filter(lambda keys: any(key.use is Use.SIGN for key in keys))


def _settings(keys: str) -> Settings:
    return Settings.model_validate({"kafka": "", "postgres": "", "nats": "", "message_keys": keys})


def _spelled(key: MessageKey) -> str:
    return f"{key.epoch}:{key.secret.hex()}" + ("" if key.use is Use.SIGN else f":{key.use}")


@pytest.mark.parametrize(
    ("written", "epochs", "signs"),
    [
        (A, [0], 0),
        (f"{A},{B}", [0, 1], 1),
        (f"0:{A},1:{B}", [0, 1], 1),
        (f" 1:{B} , 0:{A} ", [0, 1], 1),
        (f"0:{A},1:{B}:verify", [0, 1], 0),
        (f"0:{A}:withdrawn,1:{B}", [0, 1], 1),
        (f"0:{A}:sign,1:{B}:withdrawn", [0, 1], 0),
        (f"7:{C}", [7], 7),
        (f"255:{C}", [255], 255),
        (f"3:{A},4:{B},5:{C}:verify", [3, 4, 5], 4),
    ],
)
def test_keys_have_their_epochs_and_the_newest_that_may_sign_signs(
    written: str, epochs: list[int], signs: int
) -> None:
    made = _settings(written)
    assert [key.epoch for key in made.keys] == epochs
    assert made.key_epoch == signs == MessageIds.of(made).signing


def test_a_list_without_epochs_means_the_same_as_its_positions() -> None:
    assert _settings(f"{A},{B},{C}").keys == _settings(f"0:{A},1:{B},2:{C}").keys


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (f"{A},1:{B}", "either every key has its epoch"),
        (f"1:{A},1:{B}", "the same epoch"),
        (f"0:{A}:verify", "one key has to sign"),
        (f"0:{A}:withdrawn,1:{B}:verify", "one key has to sign"),
        (f"0:{A}:retired", "one of sign, verify, withdrawn"),
        (f"256:{A}", "0 to 255"),
        (f"-1:{A}", "0 to 255"),
        (f"x:{A}", "0 to 255"),
        (f"٣:{A}", "0 to 255"),
        (f"0:{A}:verify:more", "a key is epoch:hex"),
        ("0:", "16 to 64 bytes"),
        ("0:zz", "16 to 64 bytes"),
        (f"0:{A[:30]}", "16 to 64 bytes"),
        (f"0:{A}{A}{A}", "16 to 64 bytes"),
        (",".join([A] * 5), "need their epochs"),
        (",".join(f"{epoch}:{A}" for epoch in range(33)), "1 to 32 keys"),
    ],
)
def test_a_wrong_list_is_refused_with_the_rule_and_without_the_key(written: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        _settings(written)
    assert A not in str(refused.value)


@given(KEYS)
def test_what_is_written_is_read_whatever_the_order(keys: list[MessageKey]) -> None:
    texts = tuple(SecretStr(_spelled(key)) for key in keys)
    assert message_keys(texts) == tuple(sorted(keys, key=lambda key: key.epoch))


@given(KEYS, st.integers(1, 1 << 40), st.integers(0, (1 << 24) - 1))
def test_an_id_is_believed_as_long_as_its_key_and_also_beside_others_of_its_two_bits(
    keys: list[MessageKey], number: int, ordinal: int
) -> None:
    ids = MessageIds(keys)
    for key in keys:
        made = ids.make(number, ordinal, "acme", key.epoch)
        assert ids.make_many(number, [ordinal], "acme", key.epoch) == [made]
        if any(
            other.use is not Use.WITHDRAWN and other.secret == key.secret and other.slot == key.slot
            for other in keys
        ):
            assert ids.verify(made, "acme") == Recipient(number, ordinal)
        else:
            with pytest.raises(InvalidMessageIdError):
                ids.check(made, "acme")
        with pytest.raises(InvalidMessageIdError):
            ids.check(made, "globex")
        without = [other for other in keys if other is not key]
        if without and any(other.use is Use.SIGN for other in without):
            left = MessageIds(without)
            assert left.is_gone(key.epoch) is not left.is_to_come(key.epoch)
            with pytest.raises(UnknownKeyError, match=f"epoch {key.epoch}"):
                left.make(number, ordinal, "acme", key.epoch)


def test_a_key_shows_nothing_of_itself() -> None:
    key = MessageKey(3, bytes.fromhex(A), Use.VERIFY)
    assert A not in repr(key) and repr(key.secret)[2:-1] not in repr(key)
    assert key.fingerprint not in A and len(key.fingerprint) == 32
    assert key.fingerprint == MessageKey(9, bytes.fromhex(A)).fingerprint
