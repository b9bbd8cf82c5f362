"""Bring back the state of partitions that this worker has just taken over, from their committed
records in the state topic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import (
    DamagedStateError,
    ForeignStateError,
    RecreatedTopicError,
    StuckRestoreError,
    UnevenTopicsError,
)
from streams.exactly_once.policy import Policy
from streams.exactly_once.tables import PartitionState, PlainTable, TransactionalTable
from streams.kafka import clients, marks
from streams.kafka.hostile_batches import DAMAGED, unreadable_because
from streams.kafka.losses import lost_to_retention
from streams.kafka.reading import Take, read
from streams.records.marks import Mark
from streams.settings import Settings

_log = logging.getLogger(__name__)


async def opened(
    settings: Settings,
    app_id: str,
    number: int,
    tables: Mapping[str, TransactionalTable | PlainTable],
    policy: Policy,
) -> PartitionState:
    """The state of a partition, empty. From here on former owners are fenced, and their open
    transaction is resolved.
    """
    producer = clients.producer(
        settings,
        transactional_id=f"{app_id}-{number}",
        transaction_timeout_ms=round(policy.transaction_timeout.total_seconds() * 1000),
        acks="all",
        max_batch_size=policy.batch_bytes,
        max_request_size=16 << 20,
        compression_type=policy.compression,
    )
    await producer.start()  # returns after InitProducerId
    return PartitionState(number, tables, producer)


async def restore(
    settings: Settings,
    state_topic: str,
    states: Sequence[PartitionState],
    sources: Iterable[tuple[str, int]],
    timeout: float,
) -> int:
    """Fill `states` with everything committed; returns the number of records read (240-285k a
    second).

    Call it when the producers of `states` have been started: from then on no other worker can
    add to their part of the state topic. Raises StuckRestoreError when nothing moves for `timeout`
    seconds; RecreatedTopicError and UnevenTopicsError when the sources do not fit the state;
    DamagedStateError when a record of the state is not as it was written; ForeignStateError when
    Kafka has the mark of an installation, and the state lacks it: what was sent is forgotten there.
    """
    todo = {TopicPartition(state_topic, state.number): state for state in states}
    inputs = [TopicPartition(topic, partition) for topic, partition in sources]
    plain = clients.consumer(settings, group_id=None, enable_auto_commit=False)
    committed = clients.consumer(
        settings,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",  # of a beginning that has been compacted meanwhile
        fetch_max_wait_ms=100,
        max_partition_fetch_bytes=4 << 20,
    )
    async with committed, plain:
        topics = {state_topic, *(tp.topic for tp in inputs)}
        await _check_even(states[0].producer, topics, settings.partitions)
        ends = await plain.end_offsets([*todo, *inputs])  # high watermarks, not last stable offsets
        beginnings = await plain.beginning_offsets(inputs)
        count, mark = await asyncio.gather(
            _apply(committed, todo, ends, timeout), marks.read(settings)
        )
    if mark is not None:
        _check_installation(todo, mark)
    for tp in inputs:
        state = todo[TopicPartition(state_topic, tp.partition)]
        state.beginning[tp.topic] = beginnings[tp]
        _check_position(tp, state.position.get(tp.topic, 0), beginnings[tp], ends[tp])
    crash_point("restore")
    for state in states:
        state.restored()
    return count


async def _apply(
    consumer: AIOKafkaConsumer,
    todo: dict[TopicPartition, PartitionState],
    ends: Mapping[TopicPartition, int],
    timeout: float,
) -> int:
    count = 0

    def take(tp: TopicPartition, records: Sequence[Any]) -> None:
        nonlocal count
        count += len(records)
        apply = todo[tp].restore
        for record in records:
            if _is_ours(tp, record):
                apply(record.key, record.value)

    await scan(consumer, list(todo), ends, timeout, take)
    return count


async def scan(
    consumer: AIOKafkaConsumer,
    partitions: Sequence[TopicPartition],
    ends: Mapping[TopicPartition, int],
    timeout: float,
    take: Take,
) -> None:
    """Read partitions of state topics from their beginnings to their ends. Raises StuckRestoreError
    when nothing moves for `timeout` seconds.
    """
    starts = await consumer.beginning_offsets(list(partitions))
    try:
        await read(consumer, starts, ends, timeout, take)
    except KafkaTimeoutError as error:
        raise StuckRestoreError(*error.args) from error


def _is_ours(tp: TopicPartition, record: Any) -> bool:
    """Whether an agent can have written the record: theirs have a key and can be read. Raises
    DamagedStateError.
    """
    reason = unreadable_because(record.headers)
    if reason == DAMAGED:
        raise DamagedStateError(f"{tp}, up to {record.offset}: {reason}")
    if reason or record.key is None:
        _log.error("a foreign record at %d of %s is left out", record.offset, tp)
        return False
    return True


async def _check_even(producer: AIOKafkaProducer, topics: Iterable[str], expected: int) -> None:
    counts = {topic: len(await producer.partitions_for(topic)) for topic in sorted(topics)}
    if set(counts.values()) != {expected}:
        raise UnevenTopicsError(f"CAMPAIGNS_PARTITIONS is {expected}, partitions: {counts}")


def _check_installation(states: Mapping[TopicPartition, PartitionState], mark: Mark) -> None:
    if wrong := [tp for tp, state in states.items() if state.installation != mark.installation]:
        topic = wrong[0].topic
        raise ForeignStateError(
            f"{topic} (partitions {sorted(tp.partition for tp in wrong)}) has lost its records, or"
            " is another installation's: what has been sent is forgotten there, and would be sent"
            " again; stop every process and run `campaigns reconcile` (docs/operate/restore.md)"
        )


def _check_position(tp: TopicPartition, position: int, beginning: int, end: int) -> None:
    if position > end:
        raise RecreatedTopicError(f"position {position} is beyond the end {end} of {tp}")
    if (
        0 < position < beginning
    ):  # perhaps markers or aborted records only: that cannot be known any more
        lost_to_retention(tp, position, beginning)
