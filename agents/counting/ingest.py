"""Events in, facts out: validate what the pipeline reports, verify its message ids, and group it
into batches by (campaign, shard).

A service on aiokafka, not an agent: one event at a time through an agent would cost 60 times as
much. Its guarantee is *at least once*: the position is committed after every fact and dead letter
of it is acknowledged by the broker, so whatever a crash, a rebalance or a broker restart interrupts
is done again. That is harmless, because `fold` keeps a bitmap per kind: a repeated fact changes
nothing. What cannot be used becomes a dead letter with its position as key, so that a repeat
replaces it, and the stream goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import TopicPartition
from mode import Service

from agents.counting.batching import Pile, Refused, batches, sort
from streams import metrics
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import end_process
from streams.kafka import clients
from streams.process.consumers import group_consumer
from streams.process.readiness import Follower, Standing
from streams.records.dead_letters import dead_letter
from streams.records.facts import encode_batch
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key

_READ = 20_000  # events of one round
_SLICE = 1_000  # events between two looks at the rest of the event loop, about 5 ms
# seconds a round takes at least when there is little to do, so that facts are batches at low rates
# too
_ROUND = 0.05
_log = logging.getLogger(__name__)


class Ingest(Service):  # type: ignore[misc]  # mode is untyped
    """Runs until it is stopped; any unexpected error ends the process, and its successor reads on
    from the committed position.
    """

    reports_as = "ingest"

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__()
        self._ids, self._topics, self._settings = (
            MessageIds.of(settings),
            Topics(settings),
            settings,
        )
        self._membership, self._follower = _Membership(), Follower()
        self._reading: AIOKafkaConsumer | None = None
        self._running: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        self._running = self.add_future(self._run())

    async def on_stop(self) -> None:
        """Let the round end, so that a planned stop redoes nothing."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=5)

    async def standing(self) -> Standing:
        """Ready once it is a member of its group, with partitions or, among many workers, without."""
        if self._reading is not None:
            await self._follower.look(self._reading)
        return Standing(self._membership.is_joined, self._follower.lag, self._follower.position)

    async def _run(self) -> None:
        try:
            consumer = self._consumer()
            consumer.subscribe([self._topics.name(Name.INCOMING)], listener=self._membership)
            async with consumer, self._producer() as producer:
                self._reading = consumer
                while not self.should_stop:
                    await self._round(consumer, producer)
        except Exception as error:  # noqa: BLE001  # the position is behind whatever failed
            end_process(error)

    async def _round(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        started = time.monotonic()
        fetched = await consumer.getmany(timeout_ms=200, max_records=_READ)
        if not fetched:
            return
        piles: dict[str, Pile] = {}
        refused: list[Refused] = []
        for records in fetched.values():
            for start in range(0, len(records), _SLICE):
                refused += sort(records[start : start + _SLICE], self._ids, time.time(), piles)
                await asyncio.sleep(0)
        await self._send(producer, piles, refused)
        crash_point("acknowledged", "ingest")
        await _commit(
            consumer, {source: records[-1].offset + 1 for source, records in fetched.items()}
        )
        count = sum(map(len, fetched.values()))
        metrics.INGESTED.inc(count)
        for _, _, code in refused:
            metrics.DEAD_LETTERS.labels("ingest", code).inc()
        if count < _READ // 4:
            await asyncio.sleep(max(0.0, _ROUND - (time.monotonic() - started)))

    async def _send(
        self, producer: AIOKafkaProducer, piles: Mapping[str, Pile], refused: Sequence[Refused]
    ) -> None:
        """Returns when the broker has acknowledged everything."""
        facts, dead_letters = self._topics.name(Name.FACTS), self._topics.name(Name.DEAD_LETTERS)
        sent = []
        for pile in piles.values():
            key, partition = (
                shard_key(pile.number, pile.shard),
                self._topics.shard_partition(pile.number, pile.shard),
            )
            for batch in batches(pile):
                sent.append(
                    await producer.send(facts, encode_batch(batch), key=key, partition=partition)
                )
        for record, reason, code in refused:
            source = (record.topic, record.partition, record.offset, record.timestamp)
            key, value = dead_letter(reason, code, *source, record.value, record.headers)
            sent.append(await producer.send(dead_letters, value, key=key, partition=0))
        await asyncio.gather(*sent)

    def _consumer(self) -> AIOKafkaConsumer:
        return group_consumer(self._settings, "ingest")

    def _producer(self) -> AIOKafkaProducer:
        return clients.producer(
            self._settings,
            acks="all",
            enable_idempotence=True,
            max_batch_size=512 << 10,
            max_request_size=2 << 20,
            compression_type="lz4",
            request_timeout_ms=60_000,
        )


async def _commit(consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
    try:
        await consumer.commit(dict(positions))
    except (CommitFailedError, IllegalStateError) as error:
        # a rebalance took partitions away: their new owner does the round again
        _log.warning("the position of ingest is not committed: %s", type(error).__name__)


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Only takes note."""

    is_joined = False

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.is_joined = False

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.is_joined = True
