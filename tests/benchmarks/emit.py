"""One round of P1a and P1b: emission of a campaign, and two loops that only produce the same bytes
(design: performance.md).
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import Producer

from streams.contracts.envelope import encode
from streams.records.message_id import MessageIds
from streams.records.sending import CHUNK, BatchSent, Grant, decode_sending, lane
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.agents.sending import audience
from tests.agents.sending.audience import Campaign
from tests.agents.sending.emission import environment
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.workers import Worker


async def measure(settings: Settings, recipients: int) -> dict[str, Any]:
    """Rates in messages/s, side by side, with what emission cost in CPU-seconds per million
    messages.

    Needs the topics, a migrated database and no other `emit` worker; leaves a tenant with its
    contacts behind. Raises AssertionError when a message is missing or there twice.
    """
    connection, tenant = await audience.connect(settings.postgres), f"bench-{secrets.token_hex(4)}"
    await audience.contacts(connection, tenant, recipients)
    campaign = await audience.campaign(connection, tenant, recipients)
    await connection.execute("ANALYZE campaign_recipients")
    await connection.close()
    seconds, cpu, peak = await _emit(settings, campaign)
    messages = await asyncio.to_thread(_messages, settings, campaign)
    return {
        "recipients": recipients,
        "bytes": sum(len(value) for partition in messages for _, value in partition) // recipients,
        "emit": round(recipients / seconds),
        "confluent": round(recipients / await asyncio.to_thread(_confluent, settings, messages)),
        "aiokafka": round(recipients / await _aiokafka(settings, messages)),
        "cpuPerMillion": round(cpu / recipients * 1e6, 1),
        "peakMegabytes": peak,
    }


async def _emit(settings: Settings, campaign: Campaign) -> tuple[float, float, int]:
    """Wall and CPU seconds from the first grant to the last committed message, and the worker's
    peak memory in MB.
    """
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(
            "emit", Path(folder) / "emit.log", environment(settings), module="agents.worker"
        )
        ready = Path(folder) / "ready"
        await worker.start(CAMPAIGNS_READY_FILE=str(ready))
        try:
            await eventually(
                lambda: ready.exists() and json.loads(ready.read_text())["ready"], within=300
            )
            grants = Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0})
            await _sent(
                settings, grants, campaign, 0, CHUNK
            )  # warm: connections, the compiled template, prepared statements
            assert worker.process is not None
            before, started = _cpu(worker.process.pid), time.perf_counter()
            await _sent(settings, grants, campaign, CHUNK, campaign.size)
            seconds, after = time.perf_counter() - started, _cpu(worker.process.pid)
            return (
                seconds * campaign.size / (campaign.size - CHUNK),
                after - before,
                _peak(worker.process.pid),
            )
        finally:
            await worker.stop()


async def _sent(
    settings: Settings, producer: Producer, campaign: Campaign, start: int, stop: int
) -> None:
    """Grants [start, stop) and waits until a read_committed reader has seen the feedback for all of
    it.
    """
    topics, left = Topics(settings), stop - start
    topic = topics.name(Name.SENDING)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
    )
    async with consumer:
        feedback = TopicPartition(topic, topics.partition(campaign.tenant))
        consumer.assign([feedback])
        await consumer.seek_to_end(feedback)
        await consumer.position(feedback)
        for at in range(start, stop, CHUNK):
            grant = Grant(
                tenant_id=campaign.tenant,
                campaign_id=campaign.id,
                number=campaign.number,
                start=at,
                stop=min(at + CHUNK, stop),
            )
            producer.produce(
                topics.name(Name.GRANTS), encode(grant), partition=lane(at, topics.partitions)
            )
        producer.flush(10)
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    sent = decode_sending(record.value)
                    assert isinstance(sent, BatchSent)
                    assert sent.skipped == 0
                    left -= sent.sent


def _messages(settings: Settings, campaign: Campaign) -> list[list[tuple[bytes, bytes]]]:
    """Key and value of every message of the campaign by partition: one for each recipient."""
    topic, mine = (
        Topics(settings).name(Name.MESSAGES),
        MessageIds.of(settings).make(campaign.number, 0, campaign.tenant, 0)[:13].encode(),
    )
    found = raw_kafka.read_all(settings.kafka, topic, settings.partitions)
    messages = [
        [(r.key, r.value) for r in partition if r.key and r.value and r.key.startswith(mine)]
        for partition in found
    ]
    ids = MessageIds.of(settings)
    ordinals = sorted(
        ids.verify(key.decode(), campaign.tenant).ordinal
        for partition in messages
        for key, _ in partition
    )
    assert ordinals == list(range(campaign.size)), "a message is missing, or there twice"
    return messages


def _confluent(settings: Settings, messages: list[list[tuple[bytes, bytes]]]) -> float:
    """P1a's denominator: librdkafka, acks=all, its other settings as they come, except a queue that
    takes everything.
    """
    topic = Topics(settings).name(Name.INCOMING)  # as many partitions, and nobody reads it here
    options = {
        "acks": "all",
        "queue.buffering.max.messages": 2_000_000,
        "queue.buffering.max.kbytes": 2_000_000,
    }
    producer = Producer({"bootstrap.servers": settings.kafka, **options})
    producer.list_topics(topic, timeout=10)
    started = time.perf_counter()
    for partition, records in enumerate(messages):
        for key, value in records:
            producer.produce(topic, value, key, partition=partition)
        producer.poll(0)
    assert producer.flush(120) == 0
    return time.perf_counter() - started


async def _aiokafka(settings: Settings, messages: list[list[tuple[bytes, bytes]]]) -> float:
    """P1b's denominator: `send()` per message, acks=all, every future awaited."""
    topic = Topics(settings).name(Name.INCOMING)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka, acks="all", linger_ms=5, max_batch_size=900_000
    ) as producer:
        await producer.partitions_for(topic)
        started = time.perf_counter()
        futures = [
            await producer.send(topic, value, key, partition=partition)
            for partition, records in enumerate(messages)
            for key, value in records
        ]
        await asyncio.gather(*futures)
        return time.perf_counter() - started


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
