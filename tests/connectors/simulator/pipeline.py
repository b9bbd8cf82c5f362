"""Both ends of the simulator: messages for it to read, and what it has reported."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.contracts.envelope import rfc3339
from streams.records.message_id import MessageIds
from streams.records.messages import Message, encode_message
from streams.settings import Settings
from streams.topics import Name, Topics

TENANT = "acme"
CAMPAIGN = "0190a1b2-0000-7000-8000-000000000001"


async def send_messages(
    settings: Settings, count: int, channel: str = "email", first: int = 0
) -> list[str]:
    """Messages of one campaign, made now, in one transaction; answers their ids."""
    ids, topics, created = MessageIds.of(settings), Topics(settings), rfc3339(datetime.now(UTC))
    made = []
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        transactional_id=f"{settings.topic_prefix}messages",
        max_batch_size=512 << 10,
        linger_ms=20,
    )
    async with producer, producer.transaction():
        for ordinal in range(first, first + count):
            message = Message(
                message_id=ids.make(1, ordinal, TENANT, 0),
                tenant_id=TENANT,
                campaign_id=CAMPAIGN,
                contact_id=CAMPAIGN,
                recipient_number=ordinal,
                channel=channel,
                to=f"r{ordinal}@example.com",
                content={"subject": "Hello", "html": "<p>Hello</p>" * 20, "text": "Hello"},
                created_at=created,
            )
            made.append(message.message_id)
            partition = ordinal % settings.partitions
            await producer.send(
                topics.name(Name.MESSAGES),
                encode_message(message),
                key=message.message_id.encode(),
                partition=partition,
            )
    return made


async def reported(settings: Settings) -> list[dict[str, Any]]:
    """Every event on `pipeline.events.v1`, up to its present end."""
    topic = settings.topic_prefix + Name.INCOMING
    partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
    found = []
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        while any(
            [await consumer.position(partition) < ends[partition] for partition in partitions]
        ):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [json.loads(record.value) for record in records]
    return found


async def is_read(settings: Settings, group: str) -> bool:
    """Whether the group has committed the end of the messages topic, up to the marker of the last
    transaction.
    """
    topic = settings.topic_prefix + Name.MESSAGES
    partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=settings.topic_prefix + group
    ) as consumer:
        ends = await consumer.end_offsets(partitions)
        return all(
            [
                ends[partition] == 0
                or (await consumer.committed(partition) or 0) >= ends[partition] - 1
                for partition in partitions
            ]
        )
