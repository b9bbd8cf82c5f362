"""What the API has put into `pipeline.events.v1`, read by a consumer of its own."""

from __future__ import annotations

from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.settings import Settings
from streams.topics import Name, Topics


async def reported(settings: Settings) -> list[dict[str, Any]]:
    """Every event; checks that each has its message id as key and is in the partition of it."""
    topics, found = Topics(settings), list[dict[str, Any]]()
    sources = [
        TopicPartition(topics.name(Name.INCOMING), partition)
        for partition in range(topics.partitions)
    ]
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka) as consumer:
        consumer.assign(sources)
        await consumer.seek_to_beginning(*sources)
        ends = await consumer.end_offsets(sources)
        while not all([await consumer.position(source) >= ends[source] for source in sources]):
            for source, records in (await consumer.getmany(timeout_ms=100)).items():
                for record in records:
                    found.append(msgspec.json.decode(record.value))
                    assert record.key == found[-1]["messageId"].encode()
                    assert source.partition == topics.partition(record.key)
    return found
