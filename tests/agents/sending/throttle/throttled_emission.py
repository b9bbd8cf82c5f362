"""A stand-in for the emit workers that can be as late as one likes, and a throttle worker beside it
that can be killed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.contracts.envelope import encode
from streams.records.sending import BatchSent, Grant, Sending, decode_grant
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.faults.workers import Role, Slot, Worker, settings_environment


class Emitted(NamedTuple):
    """Messages that left at one instant, in milliseconds."""

    at: int
    tenant: str
    number: int
    messages: int


class Emission:
    """A stand-in for the emit workers, which keeps every grant for up to `lag` seconds, and never
    loses one.
    """

    def __init__(self, settings: Settings, lag: float, seed: int) -> None:
        self._settings, self._topics, self._lag, self._random = (
            settings,
            Topics(settings),
            lag,
            random.Random(seed),
        )
        self.emitted: list[Emitted] = []
        self._works: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Emission]:
        self.producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka, enable_idempotence=True
        )
        grants = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            enable_auto_commit=False,
        )
        await self.producer.start()
        await grants.start()
        grants.assign(
            [
                TopicPartition(self._topics.name(Name.GRANTS), p)
                for p in range(self._settings.partitions)
            ]
        )
        reading = asyncio.create_task(self._read(grants))
        try:
            yield self
        finally:
            reading.cancel()
            await asyncio.gather(reading, *self._works, return_exceptions=True)
            await grants.stop()
            await self.producer.stop()

    async def write(self, *records: Sending, at: int | None = None) -> None:
        for record in records:
            partition = self._topics.partition(getattr(record, "tenant_id", ""))
            topic = self._topics.name(Name.SENDING)
            await self.producer.send_and_wait(
                topic, encode(record), partition=partition, timestamp_ms=at
            )

    async def _read(self, grants: AIOKafkaConsumer) -> None:
        async for record in grants:
            grant = decode_grant(record.value)
            if isinstance(grant, Grant):
                work = asyncio.create_task(self._emit(grant))
                self._works.add(work)
                work.add_done_callback(self._works.discard)

    async def _emit(self, grant: Grant) -> None:
        await asyncio.sleep(self._random.random() * self._lag)  # the lateness is the fault itself
        at, messages = int(time.time() * 1000), grant.stop - grant.start
        self.emitted.append(Emitted(at, grant.tenant_id, grant.number, messages))
        await self.write(BatchSent(grant.tenant_id, grant.number, messages, 0), at=at)

    def most_in_any(self, length: timedelta, tenant: str, number: int | None = None) -> int:
        """The most messages in any sliding period."""
        sent = sorted(
            (e.at, e.messages)
            for e in self.emitted
            if e.tenant == tenant and number in (None, e.number)
        )
        most = total = first = 0
        for at, messages in sent:
            total += messages
            while sent[first][0] < at - length / timedelta(milliseconds=1):
                total -= sent[first][1]
                first += 1
            most = max(most, total)
        return most


@asynccontextmanager
async def control(settings: Settings, log: Path, crashes: list[str]) -> AsyncIterator[Role]:
    """One worker, restarted whatever ends it, that meets these crash points one after the other."""
    environment = settings_environment(settings.kafka, settings.topic_prefix, settings.partitions)
    seconds = {"CAMPAIGNS_HOUR": settings.hour, "CAMPAIGNS_DAY": settings.day}
    environment |= {name: f"PT{length.total_seconds():g}S" for name, length in seconds.items()}
    environment["CAMPAIGNS_IN_FLIGHT"] = str(settings.in_flight)
    role = Role("control", crashes)
    slot = Slot(
        role, Worker("control", log, environment, module="tests.agents.processes.throttle_process")
    )
    supervising = asyncio.create_task(slot.supervise())
    try:
        yield role
    finally:
        supervising.cancel()
        await slot.worker.stop()
