"""What a broker can store and aiokafka cannot read never stops a reader."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka import hostile_batches
from streams.kafka.hostile_batches import DAMAGED, FetchedRecords, unreadable_because
from tests.faults.raw_batches import CODECS, Raw, batch, sealed

NAME = "\0HOSTILE"  # a header name of the same length as the bytes that take its place

headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3)
records = st.lists(
    st.builds(Raw, st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=99), headers),
    min_size=1,
    max_size=20,
)


def read(*batches: bytes, by: type = FetchedRecords) -> list[ConsumerRecord]:
    """What a consumer gets of one fetch answer."""
    source = TopicPartition("t", 0)
    return list(PartitionRecords(source, by(b"".join(batches)), [], 0, None, None, True, 1))


@given(st.lists(st.tuples(st.sampled_from(CODECS), records), min_size=1, max_size=4))
def test_good_batches_are_read_as_aiokafka_reads_them(found: list[tuple[int, list[Raw]]]) -> None:
    batches, offset = [], 0
    for codec, each in found:
        batches.append(batch(each, codec=codec, base=offset))
        offset += len(each)
    assert read(*batches) == read(*batches, by=MemoryRecords)


@pytest.mark.parametrize("codec", CODECS)
def test_a_good_batch_of_any_length_is_read_by_the_fast_reader_alone(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_batches, "_DefaultRecordBatchPy", None)
    for count in (1, 63, 64, 65, 128, 1_000):
        each = [Raw(b"k", b"%d" % number) for number in range(count)]
        assert [found.value for found in read(batch(each, codec=codec))] == [
            sent.value for sent in each
        ]


@given(records, st.integers(1, 99))
def test_a_batch_that_is_cut_off_waits_for_the_next_answer(each: list[Raw], missing: int) -> None:
    whole = batch(each)
    cut = FetchedRecords(whole + whole[: -min(missing, len(whole) - 1)])
    assert cut.has_next()
    cut.next_batch()
    assert not cut.has_next()
    assert cut.size_in_bytes() > 0


@given(st.sampled_from(CODECS), records, st.data())
def test_only_the_record_with_a_name_that_is_not_utf_8_is_unreadable(
    codec: int, each: list[Raw], data: st.DataObject
) -> None:
    bad = data.draw(st.integers(0, len(each) - 1))
    each[bad] = Raw(b"k", b"v", [(NAME, b"x")])
    good = read(batch(each))
    got = read(
        batch(each, codec=codec, replace=(NAME.encode(), b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe"))
    )
    assert got[:bad] + got[bad + 1 :] == good[:bad] + good[bad + 1 :]
    assert got[bad].offset == bad
    assert "UnicodeDecodeError" in unreadable_because(got[bad].headers)
    assert b"\xff\xfe\xff\xfe" in (got[bad].value or b"")


@given(st.sampled_from(CODECS), records, st.data())
def test_whatever_the_records_are_reading_ends_at_the_end_of_the_batch_and_goes_forward(
    codec: int, each: list[Raw], data: st.DataObject
) -> None:
    """The bytes of the records are changed before they are packed and sealed."""
    at, junk = data.draw(st.integers(61, 200)), data.draw(st.binary(min_size=1, max_size=12))
    hostile = batch(each, codec=codec, spoil=(at, junk))
    got = read(hostile, batch([Raw(b"next", b"", [])], base=len(each)))
    offsets = [record.offset for record in got]
    assert offsets == sorted(set(offsets))
    assert (got[-1].key, got[-1].offset) == (b"next", len(each))


@given(st.sampled_from(CODECS[1:]), records, st.binary(max_size=50))
def test_records_that_do_not_unpack_are_one_unreadable_record(
    codec: int, each: list[Raw], junk: bytes
) -> None:
    raw = bytearray(batch(each, codec=codec))
    got = read(sealed(bytes(raw[:61]) + b"\xee" + junk))
    assert [record.offset for record in got] == [len(each) - 1]
    assert unreadable_because(got[0].headers)
    assert (got[0].key, got[0].value) == (None, sealed(bytes(raw[:61]) + b"\xee" + junk))


@given(records, st.integers(17, 60), st.integers(1, 255))
def test_a_wrong_checksum_makes_the_batch_unreadable(each: list[Raw], at: int, change: int) -> None:
    raw = bytearray(batch(each))
    raw[at] ^= change
    got = read(bytes(raw))
    if at not in range(23, 27) and at not in range(21, 23):  # its last offset; its kind
        assert [unreadable_because(record.headers) for record in got] == [DAMAGED]


@pytest.mark.parametrize("format_", [0, 1, 3, 127])
def test_another_format_is_unreadable(format_: int) -> None:
    raw = bytearray(batch([Raw(b"k", b"v", [])]))
    raw[16] = format_
    [got] = read(bytes(raw))
    assert "format" in unreadable_because(got.headers)


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_a_bomb_is_not_unpacked(codec: int) -> None:
    """Snappy is not among them: its format makes nothing longer than 22 times."""
    bomb = batch([Raw(b"k", bytes(100 << 20), [])], codec=codec)
    [got] = read(bomb)
    assert unreadable_because(got.headers)
    assert got.value == bomb


def test_many_small_bombs_are_one_large_one() -> None:
    """An answer of a megabyte may hold thousands of batches of 4 MB, which are 400 bytes packed."""
    got = read(*(batch([Raw(b"k", bytes(4 << 20))], codec=4, base=i) for i in range(50)))
    assert len(got) == 50
    assert sum(len(record.value or b"") for record in got) < 20 << 20


@pytest.mark.parametrize("codec", [1, 3, 4])
@pytest.mark.parametrize("left", [0, -61])
def test_an_answer_that_has_used_up_its_limit_unpacks_nothing_more(codec: int, left: int) -> None:
    """The head of a batch counts, too, so the last one that fits can leave less than nothing."""
    answer = FetchedRecords(batch([Raw(b"k", bytes(100))], codec=codec))
    answer.budget = left
    [got] = answer.next_batch()
    assert unreadable_because(got.headers)


def test_messages_that_differ_in_a_name_only_are_read() -> None:
    """lz4 makes a hundredth of them, the most of all that the engine itself writes."""
    html = b"<p>&nbsp;</p>" * 1_500
    batches = [
        batch([Raw(b"k", html + b"%d" % (50 * i + j)) for j in range(50)], codec=3, base=50 * i)
        for i in range(40)
    ]
    assert 100 * len(b"".join(batches)) < 40 * 50 * len(html)
    got = read(*batches)
    assert [record.value for record in got] == [html + b"%d" % i for i in range(2000)]


def test_an_empty_answer_has_no_batch() -> None:
    assert read() == []
    with pytest.raises(IndexError):
        FetchedRecords(b"").next_batch()
