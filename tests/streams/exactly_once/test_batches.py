"""Batches, made by aiokafka's own builder: in order, none too large, and nothing left out."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.exactly_once.batches import NO_HEADERS, Record, send_batches
from streams.exactly_once.fatal import RecordTooLargeError
from tests.streams.exactly_once.bench import MOST_BYTES, Batch, Producer

_sizes = st.lists(st.integers(0, MOST_BYTES - 100), max_size=30)


def records(sizes: list[int]) -> list[Record]:
    return [(b"%d" % n, b"x" * size, NO_HEADERS) for n, size in enumerate(sizes)]


def sent(*sizes: int) -> Producer:
    """What a producer was given for records of these sizes."""
    producer = Producer()
    asyncio.run(
        send_batches(
            producer, "out", 3, records(list(sizes)), timestamp_ms=5, most_bytes=MOST_BYTES
        )
    )
    return producer


@given(_sizes)
def test_every_record_is_sent_once_and_in_order_in_batches_that_fit(sizes: list[int]) -> None:
    producer = sent(*sizes)
    assert producer.open == [("out", 3, key, value) for key, value, _ in records(sizes)]
    assert all(batch.records and batch.size() <= MOST_BYTES for batch in producer.batches)


def test_records_share_a_batch_while_it_has_room() -> None:
    assert [len(batch.records) for batch in sent(*[100] * 16).batches] == [8, 8]


def test_nothing_to_send_makes_no_batch() -> None:
    assert sent().batches == []


def test_the_builder_takes_the_first_record_of_a_batch_whatever_its_size() -> None:
    batch = Batch()
    assert batch.append(timestamp=5, key=b"k", value=b"x" * 5000, headers=[]) is not None
    assert batch.append(timestamp=5, key=b"k", value=b"x", headers=[]) is None


@pytest.mark.parametrize("sizes", [(MOST_BYTES,), (10, 20, MOST_BYTES), (MOST_BYTES, 10)])
def test_a_record_that_is_larger_than_a_batch_is_refused_and_not_sent(
    sizes: tuple[int, ...],
) -> None:
    producer = Producer()
    with pytest.raises(RecordTooLargeError):
        asyncio.run(send_batches(producer, "out", 0, records(list(sizes)), most_bytes=MOST_BYTES))
    assert all(len(value or b"") < MOST_BYTES for *_, value in producer.open)


def test_a_batch_that_the_broker_refuses_is_an_error() -> None:
    producer = Producer()
    producer.failure = ConnectionError()
    with pytest.raises(ConnectionError):
        asyncio.run(send_batches(producer, "out", 0, records([1, 2])))
