"""Starts control processes for tests and reads what they wrote, through another Kafka client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from streams.settings import Settings
from streams.topics import Name, Topics
from tests.environment import environment
from tests.faults.workers import Role, Slot, Worker

OUR_VARIABLES = "CAMPAIGNS_"


def control_worker(settings: Settings, kind: str, folder: Path, name: str = "") -> Worker:
    """A process of this kind, not started; its log is `<name or kind>.log`."""
    variables = {
        key: value for key, value in environment(settings).items() if key.startswith(OUR_VARIABLES)
    }
    return Worker(
        kind,
        folder / f"{name or kind}.log",
        variables,
        module="tests.agents.processes.control_process",
    )


@asynccontextmanager
async def process(
    settings: Settings, kind: str, folder: Path, *points: str, name: str = ""
) -> AsyncIterator[Slot]:
    """A supervised process of this kind; it meets the crash points one after the other."""
    worker = control_worker(settings, kind, folder, name)
    slot = Slot(Role(kind, list(points)), worker)
    task = asyncio.create_task(slot.supervise())
    try:
        yield slot
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if worker.process is not None:
            await worker.stop()


def has_said(folder: Path, name: str, text: str) -> bool:
    """Whether the log of a process contains it."""
    log = folder / f"{name}.log"
    return log.exists() and text in log.read_text()


class Written(NamedTuple):
    """A record with its headers."""

    partition: int
    timestamp: int  # milliseconds
    key: str
    value: Any
    headers: dict[str, str]


def read(settings: Settings, name: Name) -> list[Written]:
    """Everything committed in a topic now, per partition in order."""
    topics = Topics(settings)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    count = topics.count(name)
    consumer.assign([TopicPartition(topics.name(name), partition, 0) for partition in range(count)])
    found, ended = [], 0
    while ended < count:
        for message in consumer.consume(1000, timeout=1.0):
            if (error := message.error()) is None:
                headers = {key: (value or b"").decode() for key, value in message.headers() or []}
                key, value = message.key(), json.loads(message.value() or b"null")
                found.append(
                    Written(
                        message.partition() or 0,
                        message.timestamp()[1],
                        (key or b"").decode(),
                        value,
                        headers,
                    )
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
    consumer.close()
    return found


def produce(
    settings: Settings, name: Name, records: Iterable[tuple[str, bytes | None, dict[str, str]]]
) -> None:
    """(key, value, headers), each to the partition of its key."""
    topics, producer = (
        Topics(settings),
        Producer(
            {"bootstrap.servers": settings.kafka, "linger.ms": 0, "message.max.bytes": 4 << 20}
        ),
    )
    for key, value, headers in records:
        pairs = [(header, content.encode()) for header, content in headers.items()]
        producer.produce(
            topics.name(name), value, key.encode(), partition=topics.partition(key), headers=pairs
        )
    producer.flush(20)
