"""P6: the bridge from Kafka to JetStream, and P6b: its batches alone, each against a loop of
nats-py's `publish_async` with messages of the same size.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import nats
from aiokafka import AIOKafkaProducer

from connectors.nats.bridge import Bridge
from connectors.nats.jetstream import JetStreamConnection, Publication
from connectors.nats.publisher import PIECE, WINDOW
from streams.records.facts import Batch, Kind, encode_batch
from streams.records.message_id import SHARD_SIZE
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tests.agents.counting.recipient_rows import BASE, TENANT, group, make_recipients
from tests.connectors.nats.jetstream_reader import count
from tests.eventually import eventually

Publish = Callable[[Settings, Sequence[Publication]], Awaitable[None]]
_RECORD = 1000  # outcomes per record, as fold makes them under load
_PAYLOAD = b"x" * 420


async def measure(settings: Settings, messages: int) -> dict[str, Any]:
    """Messages a second of all three. Raises AssertionError when a stream does not hold every
    message once.
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
                topics.name(Name.MESSAGE_EVENTS),
                value,
                key=shard_key(number, shard),
                partition=partition,
            )
    expected = sum(
        min(_RECORD, SHARD_SIZE - start % SHARD_SIZE) for start in range(0, messages, _RECORD)
    )
    bridge = await _bridge(settings, expected)
    library, library_cpu = await _timed(settings, expected, "LIBRARY", _publish_async)
    batches, batches_cpu = await _timed(settings, expected, "BATCHES", _publish_batches)
    return {
        "messages": expected,
        "bridgePerSecond": bridge,
        "libraryPerSecond": library,
        "libraryMicroseconds": library_cpu,
        "batchesPerSecond": batches,
        "batchesMicroseconds": batches_cpu,
    }


async def _bridge(settings: Settings, expected: int) -> float:
    stream = f"{settings.topic_prefix}CAMPAIGNS"
    bridge = Bridge(None, settings)
    async with bridge:
        await eventually(lambda: bridge.publisher.published > 0, 300)
        started, before = time.monotonic(), bridge.publisher.published
        await eventually(lambda: bridge.publisher.published >= expected, 300)
        seconds = time.monotonic() - started
    assert await count(settings.nats, stream) == expected
    return (expected - before) / seconds


async def _timed(
    settings: Settings, expected: int, name: str, publish: Publish
) -> tuple[float, float]:
    """Messages a second into a stream of its own, and microseconds of our CPU for each."""
    subject = f"{settings.topic_prefix}{name.lower()}.delivered"
    messages = [
        Publication(subject, f"00000000-002a-8000-84d2-{position:012d}:delivered", TENANT, _PAYLOAD)
        for position in range(expected)
    ]
    stream = f"{settings.topic_prefix}{name}"
    client = await nats.connect(settings.nats)
    await client.jetstream().add_stream(name=stream, subjects=[subject], duplicate_window=600)
    await client.close()
    started, cpu = time.monotonic(), time.process_time()
    await publish(settings, messages)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    assert await count(settings.nats, stream) == expected
    return expected / seconds, cpu / expected * 1e6


async def _publish_async(settings: Settings, messages: Sequence[Publication]) -> None:
    client = await nats.connect(settings.nats)
    try:
        context = client.jetstream(publish_async_max_pending=PIECE * (WINDOW + 1))
        stored = []
        for subject, message_id, tenant_id, payload in messages:
            headers = {"Nats-Msg-Id": message_id, "tenantId": tenant_id}
            stored.append(await context.publish_async(subject, payload, headers=headers))
        await asyncio.gather(*stored)
    finally:
        await client.close()


async def _publish_batches(settings: Settings, messages: Sequence[Publication]) -> None:
    connection = await JetStreamConnection.open(settings)
    try:
        outstanding = deque[asyncio.Future[None]]()
        for start in range(0, len(messages), PIECE):
            outstanding.append(await connection.publish(messages[start : start + PIECE]))
            if len(outstanding) > WINDOW:
                await outstanding.popleft()
        await asyncio.gather(*outstanding)
    finally:
        await connection.close()
