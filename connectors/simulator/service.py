"""The simulator: reads `pipeline.messages.v1`, decides the events of every message, and reports
each in its time.

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
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from connectors.simulator.behaviour import Behaviour, Event, story
from connectors.simulator.schedule import Fetched, Report, Schedule
from connectors.simulator.truth import TruthLog
from streams.exactly_once.batches import NO_HEADERS, Record, send_batches
from streams.kafka import clients
from streams.process.mover import Mover, answered
from streams.process.readiness import Readiness, Standing
from streams.records.messages import is_built_in
from streams.records.reported_events import Incoming, encode_incoming
from streams.settings import Settings
from streams.topics import Name

_READ = 5_000  # messages of one turn
_SLICE = 500  # messages between two looks at the rest of the event loop
_IDLE = 0.1  # seconds
_BATCH_BYTES = 512 << 10
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


class Simulator(Mover):
    """More processes share the partitions. `reported` counts records acknowledged, `pending` those
    whose time has not come.
    """

    name = "simulate"
    reads = (Name.MESSAGES,)
    # with `max_pending` reports waiting nothing is read for long
    options: ClassVar[Mapping[str, Any]] = {
        "max_partition_fetch_bytes": 4 << 20,
        "max_poll_interval_ms": 3_600_000,
    }

    def __init__(
        self,
        app: object,
        settings: Settings,
        behaviour: Behaviour | None = None,
        truth: Path | None = None,
    ) -> None:
        super().__init__(settings)
        self.behaviour = behaviour or Behaviour()
        self.reported = 0
        self._folder = truth
        window = settings.machine_window.total_seconds()
        self._soonest = window + 1 if window else 0.0  # else people would be taken for machines
        self._schedule, self._truth = Schedule(), TruthLog(None)
        self._told = 0.0
        self._readiness = Readiness(settings)
        self._producer: AIOKafkaProducer

    @property
    def pending(self) -> int:
        return self._schedule.pending

    async def open(self, stack: AsyncExitStack) -> None:
        self._truth = stack.enter_context(TruthLog(self._folder, self.behaviour.truth_bytes))
        self._producer = await stack.enter_async_context(
            clients.producer(
                self.settings,
                acks="all",
                enable_idempotence=True,
                max_batch_size=_BATCH_BYTES,
                compression_type="lz4",
                request_timeout_ms=60_000,
            )
        )
        await self.subscribe(stack)

    async def turn(self) -> None:
        """Messages are read, due events are reported, and the positions of messages without an
        event outstanding are committed. Events that are only scheduled when the process stops are
        decided again by the next one.
        """
        wait = self._schedule.seconds_to_next(time.time())
        wait = _IDLE if wait is None else min(wait, _IDLE)
        if self._schedule.pending < self.behaviour.max_pending:
            await self._take(await self.read(timeout_ms=round(wait * 1000), max_records=_READ))
        else:
            await asyncio.sleep(wait)
        await self._report()
        if positions := self._schedule.settled():
            await self.commit(positions)
        await self._tell()

    async def _take(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        if self.assignments.take() is not None:
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
        if is_built_in(record.headers):
            return  # it is really delivered
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
        partition = self.topics.partition(key)
        for event in story(message.message_id, message.channel, self.behaviour, self._soonest):
            at = created + event.after
            if not message.is_test:  # tests are not counted
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

    async def _report(self) -> None:
        if not (due := self._schedule.due(time.time())):
            return
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        for report in due:
            by_partition[report.partition].append((report.key, report.value, NO_HEADERS))
        topic = self.topics.name(Name.INCOMING)
        sending = (
            send_batches(self._producer, topic, partition, records, most_bytes=_BATCH_BYTES)
            for partition, records in by_partition.items()
        )
        await answered(asyncio.gather(*sending))
        for report in due:
            report.source.left -= 1
        self.reported += len(due)

    async def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told > 1:
            self._told = now
            # no lag: events wait here for their time
            ready = bool(self.consumer.assignment())
            await self._readiness.report(Standing(ready, position=self.reported))


def _encoded(message: _Message, event: Event, at: float) -> bytes:
    second = int(at)
    timestamp = f"{_second(second)}.{int((at - second) * 1000):03d}Z"
    return encode_incoming(
        Incoming(event.type, message.message_id, message.tenant_id, timestamp, event.details)
    )


@lru_cache(maxsize=10_000)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
