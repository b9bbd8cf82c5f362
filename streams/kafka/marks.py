"""How the mark is read and written: the newest record of `campaigns.installation.v1`, and the
identity in each partition of the state topics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.contracts.envelope import encode
from streams.kafka import clients, reading
from streams.records.marks import KEY, STATE_KEY, Mark, decode_mark
from streams.settings import Settings
from streams.topics import STATES, Name, Topics

_PATIENCE = 20.0  # seconds without a record
_SERVED = 5.0  # seconds until a broker names all of its topics
# Every round leaves a mark and a transaction marker, so the newest mark is among the last records.
_LAST = 200


async def read(settings: Settings) -> Mark | None:
    """The newest committed mark; None when there is none, or no such topic. Takes a tenth of a
    second however many rounds there were.

    Raises aiokafka's KafkaError, and ValueError for a record that is no mark.
    """
    consumer = clients.consumer(
        settings,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    source = TopicPartition(Topics(settings).name(Name.INSTALLATION), 0)
    async with consumer:
        if not await _exists(consumer, source.topic):
            return None
        beginning = (await consumer.beginning_offsets([source]))[source]
        end = (await consumer.end_offsets([source]))[source]
        found = await _newest(consumer, source, max(beginning, end - _LAST), end)
        if found is None and beginning < end - _LAST:
            found = await _newest(consumer, source, beginning, end)
        return found


async def _exists(consumer: AIOKafkaConsumer, topic: str) -> bool:
    """A broker that has just started may not know its topics yet, so it is asked for a while."""
    deadline = time.monotonic() + _SERVED
    while topic not in await consumer.topics():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
    return True


async def _newest(
    consumer: AIOKafkaConsumer, source: TopicPartition, start: int, end: int
) -> Mark | None:
    found: Mark | None = None

    def take(_: TopicPartition, records: Sequence[Any]) -> None:
        nonlocal found
        for record in records:
            if record.key == KEY and record.value is not None:
                found = decode_mark(record.value)

    await reading.read(consumer, {source: start}, {source: end}, _PATIENCE, take)
    return found


async def write(settings: Settings, mark: Mark) -> None:
    """Returns when every copy that must have the mark has it. Raises aiokafka's KafkaError."""
    async with clients.producer(settings, acks="all", enable_idempotence=True) as producer:
        topic = Topics(settings).name(Name.INSTALLATION)
        await producer.send_and_wait(topic, encode(mark), key=KEY, partition=0)


async def write_to_states(
    settings: Settings, installation: str, states: Sequence[Name] = STATES
) -> None:
    """Put the identity into every partition of the state topics. Repeating it changes nothing, and
    their owners may be at work. Raises aiokafka's KafkaError.
    """
    topics = Topics(settings)
    async with clients.producer(settings, acks="all", enable_idempotence=True) as producer:
        for name in states:
            for partition in range(topics.count(name)):
                await producer.send_and_wait(
                    topics.name(name), installation.encode(), key=STATE_KEY, partition=partition
                )


async def unused_states(settings: Settings) -> list[str]:
    """State topics of which a partition has never had a record: where there is a mark they were
    made again, with nothing in them. Raises aiokafka's KafkaError.
    """
    topics = Topics(settings)
    sources = [
        TopicPartition(topics.name(name), partition)
        for name in STATES
        for partition in range(topics.count(name))
    ]
    async with clients.consumer(settings, group_id=None, enable_auto_commit=False) as consumer:
        ends = await consumer.end_offsets(sources)
    return sorted({source.topic for source, end in ends.items() if not end})
