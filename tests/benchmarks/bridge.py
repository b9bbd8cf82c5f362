"""P6: the bridge from Kafka to JetStream, against a raw loop of the client library's
`publish_async` with the same messages.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import nats
from aiokafka import AIOKafkaProducer

from connectors.nats.bridge import Bridge
from streams.records.facts import Batch, Kind, encode_batch
from streams.records.message_id import SHARD_SIZE
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tests.agents.counting.recipient_rows import BASE, TENANT, group, make_recipients
from tests.connectors.nats.jetstream_reader import count
from tests.eventually import eventually

_RECORD = 1000  # outcomes per record, as fold makes them under load


async def measure(settings: Settings, messages: int) -> dict[str, Any]:
    """Messages a second of both, and the ratio. Raises AssertionError when the stream does not hold
    every message once.
    """
    number, _ = await make_recipients(settings, 1)
    topics = Topics(settings)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka, acks="all", max_batch_size=1 << 20
    ) as producer:
        for start in range(0, messages, _RECORD):
            shard, first = divmod(start, SHARD_SIZE)
            within = range(first, min(first + _RECORD, SHARD_SIZE))
            value = encode_batch(
                Batch(TENANT, number, shard, BASE, (group(Kind.DELIVERED, within),))
            )
            partition = topics.shard_partition(number, shard)
            await producer.send(
                topics.name(Name.OUTCOMES), value, key=shard_key(number, shard), partition=partition
            )
    expected = sum(
        min(_RECORD, SHARD_SIZE - start % SHARD_SIZE) for start in range(0, messages, _RECORD)
    )
    bridge = await _bridge(settings, expected)
    library = await _library(settings, expected)
    return {
        "messages": expected,
        "bridgePerSecond": bridge,
        "libraryPerSecond": library,
        "ratio": bridge / library,
    }


async def _bridge(settings: Settings, expected: int) -> float:
    stream = f"{settings.topic_prefix}CAMPAIGNS"
    bridge = Bridge(None, settings)
    async with bridge:
        await eventually(lambda: bridge.publisher.published > 0, 30)
        started, before = time.monotonic(), bridge.publisher.published
        await eventually(lambda: bridge.publisher.published >= expected, 300)
        seconds = time.monotonic() - started
    assert await count(settings.nats, stream) == expected
    return (expected - before) / seconds


async def _library(settings: Settings, expected: int) -> float:
    client = await nats.connect(settings.nats)
    try:
        context = client.jetstream(publish_async_max_pending=4000)
        await context.add_stream(
            name=f"{settings.topic_prefix}RAW",
            subjects=[f"{settings.topic_prefix}raw.>"],
            duplicate_window=600,
        )
        payload = b"x" * 420
        started = time.monotonic()
        futures = []
        for position in range(expected):
            headers = {
                "Nats-Msg-Id": f"00000000-002a-8000-84d2-{position:012d}:delivered",
                "tenantId": TENANT,
            }
            futures.append(
                await context.publish_async(
                    f"{settings.topic_prefix}raw.delivered", payload, headers=headers
                )
            )
        await asyncio.gather(*futures)
        return expected / (time.monotonic() - started)
    finally:
        await client.close()
