"""What the API has put into `pipeline.events.v1` and among the dead letters, read by a consumer of
its own.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.settings import Settings
from streams.topics import Name, Topics


async def reported(settings: Settings) -> list[dict[str, Any]]:
    """Every event; checks that each has its message id as key and is in the partition of it."""
    topics, found = Topics(settings), list[dict[str, Any]]()
    for record in await _read(settings, Name.INCOMING, topics.partitions):
        found.append(msgspec.json.decode(record.value))
        assert record.key == found[-1]["messageId"].encode()
        assert record.partition == topics.partition(record.key)
    return found


async def dead_letters(settings: Settings) -> list[dict[str, Any]]:
    """Every dead letter, in the order of writing; a repeat has the key of its first."""
    letters = await _read(settings, Name.DEAD_LETTERS, 1)
    return [msgspec.json.decode(record.value) for record in letters]


async def _read(settings: Settings, name: Name, partitions: int) -> list[Any]:
    topic, found = Topics(settings).name(name), list[Any]()
    sources = [TopicPartition(topic, partition) for partition in range(partitions)]
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka) as consumer:
        consumer.assign(sources)
        await consumer.seek_to_beginning(*sources)
        ends = await consumer.end_offsets(sources)
        while not all([await consumer.position(source) >= ends[source] for source in sources]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += records
    return found
