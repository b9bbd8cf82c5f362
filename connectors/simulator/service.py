"""The simulator: reads `pipeline.messages.v1`, decides what becomes of every message, and reports
it in its time.

At least once: a position is committed when every report of the messages before it is acknowledged.
After a kill the rest is decided again, with the same result (see behaviour.py), so some events are
reported twice and none is lost. Event time = the message's createdAt plus the delay, whenever the
report leaves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError
from mode import Service

from connectors.simulator.behaviour import Behaviour, Event, story
from connectors.simulator.schedule import Fetched, Report, Schedule
from connectors.simulator.truth import TruthLog
from streams.exactly_once.fatal import end_process
from streams.kafka import clients
from streams.process.consumers import group_consumer
from streams.process.readiness import Standing, write_readiness
from streams.records.reported_events import Incoming, encode_incoming
from streams.settings import Settings
from streams.topics import Name, Topics

_READ = 5_000  # messages of one round
_SLICE = 500  # messages between two looks at the rest of the event loop
_IDLE = 0.1  # seconds
_log = logging.getLogger(__name__)


class _Message(msgspec.Struct, rename="camel", gc=False):
    """The part of a message that matters here; skipping the rest halves the cost of decoding."""

    message_id: str
    tenant_id: str
    campaign_id: str
    channel: str
    created_at: str
    is_test: bool = False


_decode = msgspec.json.Decoder(_Message).decode


class Simulator(Service):  # type: ignore[misc]  # mode is untyped
    """More processes share the partitions. `reported` counts records acknowledged, `pending` those
    whose time has not come.
    """

    def __init__(
        self,
        app: object,
        settings: Settings,
        behaviour: Behaviour | None = None,
        truth: Path | None = None,
    ) -> None:
        super().__init__()
        self.behaviour = behaviour or Behaviour()
        self.reported = 0
        self._settings, self._topics, self._folder = settings, Topics(settings), truth
        window = settings.machine_window.total_seconds()
        self._soonest = window + 1 if window else 0.0  # else people would be taken for machines
        self._schedule, self._truth = Schedule(), TruthLog(None)
        self._assignments, self._told = _Assignments(), 0.0
        self._running: asyncio.Future[None] | None = None

    @property
    def pending(self) -> int:
        return self._schedule.pending

    async def on_start(self) -> None:
        self._running = self.add_future(self._run())

    async def on_stop(self) -> None:
        """Let the round end; what is scheduled is decided again by the next process."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=5)

    async def _run(self) -> None:
        try:
            consumer = self._consumer()
            consumer.subscribe([self._topics.name(Name.MESSAGES)], listener=self._assignments)
            with TruthLog(self._folder) as self._truth:
                async with consumer, self._producer() as producer:
                    while not self.should_stop:
                        await self._round(consumer, producer)
        except Exception as error:  # noqa: BLE001  # the committed position is behind whatever failed
            end_process(error)

    async def _round(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        wait = self._schedule.seconds_to_next(time.time())
        wait = _IDLE if wait is None else min(wait, _IDLE)
        if self._schedule.pending < self.behaviour.max_pending:
            await self._read(
                await consumer.getmany(timeout_ms=round(wait * 1000), max_records=_READ)
            )
        else:
            await asyncio.sleep(wait)
        await self._report(producer)
        await self._commit(consumer)
        self._tell(consumer)

    async def _read(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        if self._assignments.take():
            self._schedule.forget()
        for partition, records in fetched.items():
            for start in range(0, len(records), _SLICE):
                piece = records[start : start + _SLICE]
                run = Fetched(partition, piece[-1].offset + 1)
                for record in piece:
                    self._decide(record, run)
                self._schedule.follow(run)
                await asyncio.sleep(0)
        self._truth.flush()  # before the position can be committed

    def _decide(self, record: Any, run: Fetched) -> None:
        try:
            message = _decode(record.value or b"")
            created = datetime.fromisoformat(message.created_at).timestamp()
        except (msgspec.DecodeError, ValueError):
            _log.warning(
                "a message cannot be read",
                extra={"partition": record.partition, "offset": record.offset},
            )
            return
        key = message.message_id.encode()
        partition = self._topics.partition(key)
        for event in story(message.message_id, message.channel, self.behaviour, self._soonest):
            at = created + event.after
            if not message.is_test:  # nobody counts those
                self._truth.add(
                    message.campaign_id,
                    message.message_id,
                    event.kind,
                    len(event.reports),
                    round(at * 1000),
                )
            value = _encoded(message, event, at)
            for after in event.reports:
                self._schedule.add(created + after, Report(partition, key, value, run))

    async def _report(self, producer: AIOKafkaProducer) -> None:
        if not (due := self._schedule.due(time.time())):
            return
        by_partition: defaultdict[int, list[Report]] = defaultdict(list)
        for report in due:
            by_partition[report.partition].append(report)
        topic = self._topics.name(Name.INCOMING)
        await asyncio.gather(
            *(
                _send(producer, topic, partition, reports)
                for partition, reports in by_partition.items()
            )
        )
        for report in due:
            report.source.left -= 1
        self.reported += len(due)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        if not (positions := self._schedule.settled()):
            return
        try:
            await consumer.commit(positions)
        except (CommitFailedError, IllegalStateError):
            _log.info("a commit came after a rebalance: the new owner reports some events again")

    def _tell(self, consumer: AIOKafkaConsumer) -> None:
        now = time.monotonic()
        if self._settings.ready_file and now - self._told > 1:
            self._told = now
            # no lag: what waits here waits for its time
            write_readiness(
                Path(self._settings.ready_file),
                Standing(bool(consumer.assignment()), position=self.reported),
            )

    def _consumer(self) -> AIOKafkaConsumer:
        # with `max_pending` reports waiting nothing is read for long
        return group_consumer(
            self._settings,
            "simulate",
            max_partition_fetch_bytes=4 << 20,
            max_poll_interval_ms=3_600_000,
        )

    def _producer(self) -> AIOKafkaProducer:
        return clients.producer(
            self._settings,
            acks="all",
            enable_idempotence=True,
            max_batch_size=512 << 10,
            compression_type="lz4",
            request_timeout_ms=60_000,
        )


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, reports: Sequence[Report]
) -> None:
    """Whole batches, in order: a record costs 0.5 us here and 10 in `send`. Returns when all are
    acknowledged.
    """
    sent, batch = [], producer.create_batch()
    for report in reports:
        while batch.append(key=report.key, value=report.value, timestamp=None) is None:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
    batch.close()
    sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)


def _encoded(message: _Message, event: Event, at: float) -> bytes:
    second = int(at)
    timestamp = f"{_second(second)}.{int((at - second) * 1000):03d}Z"
    return encode_incoming(
        Incoming(event.type, message.message_id, message.tenant_id, timestamp, event.details)
    )


@lru_cache(maxsize=10_000)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Only takes note: aiokafka logs and swallows what a listener raises."""

    def __init__(self) -> None:
        self._is_fresh = False

    def take(self) -> bool:
        """Whether partitions have been assigned anew since the last call."""
        fresh, self._is_fresh = self._is_fresh, False
        return fresh

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Nothing: the next owner begins where everything was reported."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._is_fresh = True
