"""Facts on the wire and in stored bitmaps: what one release has written every later one reads."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.records.facts import Batch, Group, Kind, decode_batch, encode_batch, pack, unpack

words = st.lists(st.integers(0, 2**32 - 1), max_size=50)
groups = st.builds(
    Group,
    st.sampled_from(Kind),
    words.map(pack),
    words.map(pack),
    st.none() | st.text(max_size=5),
    st.none() | st.text(max_size=5),
)
batches = st.builds(
    Batch,
    st.text(max_size=5),
    st.integers(0, 2**48),
    st.integers(0, 255),
    st.integers(0, 2**33),
    st.lists(groups, max_size=3).map(tuple),
    st.none() | st.text(max_size=5),
    st.booleans(),
)


def test_codes_of_kinds_are_never_renumbered() -> None:
    assert {kind.name: kind.value for kind in Kind} == {
        "SENT": 0,
        "DELIVERED": 1,
        "OPENED": 2,
        "CLICKED": 3,
        "BOUNCED": 4,
        "FAILED": 5,
        "UNSUBSCRIBED": 6,
        "COMPLAINED": 7,
        "MACHINE_OPENED": 8,
        "MACHINE_CLICKED": 9,
        "SKIPPED": 10,
        "REPLIED": 11,
        "ACCEPTED": 12,
    }


@given(words)
def test_numbers_are_packed_as_32_bits_little_endian(values: list[int]) -> None:
    assert pack(values) == struct.pack(f"<{len(values)}I", *values)
    assert list(unpack(pack(values))) == values


@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_number_that_does_not_fit_is_no_number(value: int) -> None:
    with pytest.raises(OverflowError):
        pack([value])


@given(batches)
def test_a_batch_is_read_as_it_was_written(batch: Batch) -> None:
    assert decode_batch(encode_batch(batch)) == batch


def test_a_batch_is_an_array_of_arrays() -> None:
    batch = Batch(
        "acme", 42, 3, 1_795_000_000, (Group(Kind.OPENED, pack([7]), pack([1]), "A"),), "c"
    )
    assert msgspec.msgpack.decode(encode_batch(batch)) == [
        "acme",
        42,
        3,
        1_795_000_000,
        [[2, b"\7\0\0\0", b"\1\0\0\0", "A", None]],
        "c",
        False,
    ]


def test_a_batch_of_a_release_without_campaign_and_seal_is_read() -> None:
    old = msgspec.msgpack.encode(["acme", 42, 3, 9, [[1, b"", b""]]])
    assert decode_batch(old) == Batch("acme", 42, 3, 9, (Group(Kind.DELIVERED, b"", b""),))


@pytest.mark.parametrize(
    "wrong",
    [b"", b"\xc1", msgspec.msgpack.encode(["acme", 42, 3, 9, [[99, b"", b""]]])],
)
def test_an_unknown_kind_or_no_batch_at_all_is_refused(wrong: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_batch(wrong)
