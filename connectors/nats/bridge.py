"""The bridge: every lifecycle event and every first occurrence of an outcome goes from Kafka to
NATS JetStream.

Order of effects: publish, wait until JetStream has stored it, then commit the Kafka position. A
kill at any point repeats at most what was not committed, with the same ids, which the stream's
duplicate window drops. The commit carries the identity of the stream: one that was wiped and made
again has another, and is then filled from everything that Kafka still has.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, ClassVar

from aiokafka import AIOKafkaProducer, TopicPartition
from msgspec import DecodeError

from connectors.nats.jetstream import Publication
from connectors.nats.messages import UnusableError, of_event, of_message_events
from connectors.nats.publisher import PIECE, JetStreamPublisher, StreamReplacedError
from streams import metrics
from streams.exactly_once.crash_points import crash_point
from streams.kafka import clients
from streams.process.consumers import group_of
from streams.process.mover import Mover, answered
from streams.process.readiness import Readiness, Standing
from streams.records.dead_letters import dead_letter
from streams.records.facts import Batch, decode_batch
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name
from tables.campaigns.numbers import CampaignNumbers
from tables.database.connection import Database

_COMMIT_EVERY = 0.25  # seconds
_MAX_RECORDS = 100  # an outcome record makes up to thousands of messages
_log = logging.getLogger(__name__)

Offsets = dict[TopicPartition, int]
Receipt = tuple[int, Offsets]  # the generation of the assignment, and the next offsets


class Bridge(Mover):
    """Several bridges share the partitions. A bridge waits in place while NATS or PostgreSQL is
    away, and ends its process with any other error.
    """

    name = "bridge"
    reads = (Name.EVENTS, Name.MESSAGE_EVENTS)
    # a piece waits for NATS as long as it takes
    options: ClassVar[Mapping[str, Any]] = {"max_poll_interval_ms": 3_600_000}

    def __init__(self, app: object, settings: Settings) -> None:
        super().__init__(settings)
        self.publisher: JetStreamPublisher[Receipt] = JetStreamPublisher(settings)
        self._producer: AIOKafkaProducer
        self._database = Database(settings, "campaigns-bridge", max_size=1)
        self._numbers, self._ids = CampaignNumbers(), MessageIds.of(settings)
        self._stored, self._committed_at = Offsets(), 0.0

    async def on_start(self) -> None:
        await super().on_start()
        self.add_future(self._report(Readiness(self.settings)))

    async def on_stop(self) -> None:
        """Let the last turn end, so that a planned stop publishes nothing again; while NATS is away
        it is cut short.
        """
        await super().on_stop()
        await self.publisher.close()
        await self._database.close()

    async def open(self, stack: AsyncExitStack) -> None:
        # First: the identity of the stream decides where an assignment begins.
        await self.publisher.open()
        producer = clients.producer(self.settings, acks="all", enable_idempotence=True)
        self._producer = await stack.enter_async_context(producer)
        await self.subscribe(stack)

    async def finish(self) -> None:
        self._note(await self.publisher.settle())
        await self._commit()

    async def turn(self) -> None:
        """Records are read and handed to the publisher; the positions of those that JetStream has
        stored by now are committed.
        """
        fetched = await self.read(timeout_ms=100, max_records=_MAX_RECORDS)
        generation = self.assignments.generation
        if (fresh := self.assignments.take()) is not None:
            self._stored.clear()
            for partition in await self._begin(fresh):
                fetched.pop(partition, None)
        try:
            if fetched:
                await self._forward(fetched, generation)
            else:
                self._note(await self.publisher.settle())
        except StreamReplacedError:
            await self._replay()
        if not fetched or time.monotonic() - self._committed_at > _COMMIT_EVERY:
            await self._commit()

    async def _forward(self, fetched: dict[TopicPartition, Sequence[Any]], generation: int) -> None:
        piece, offsets = list[Publication](), Offsets()
        for partition, records in fetched.items():
            for record in records:
                piece += await self._publications(record)
                # Only this record is cut: the offsets so far are those of whole records before it.
                while len(piece) > PIECE:
                    await self._hand_over(piece[:PIECE], (generation, offsets))
                    piece, offsets = piece[PIECE:], Offsets()
                offsets[partition] = record.offset + 1
        await self._hand_over(piece, (generation, offsets))

    async def _hand_over(self, piece: Sequence[Publication], receipt: Receipt) -> None:
        self._note(await self.publisher.publish(piece, receipt))

    async def _publications(self, record: Any) -> Sequence[Publication]:
        try:
            if record.topic == self.topics.name(Name.EVENTS):
                return [of_event(record, self.topics.prefix)]
            return await self._outcomes(record)
        except UnusableError as error:
            await self._dead_letter(record, error)
            return ()

    async def _outcomes(self, record: Any) -> Sequence[Publication]:
        try:
            batch: Batch = decode_batch(record.value or b"")
            if self._numbers.get(batch.number) is None:
                await self._database.until_up(
                    lambda connection: self._numbers.load(connection, [batch.number])
                )
            campaign = self._numbers.get(batch.number)
            if campaign is None:
                raise UnusableError(
                    "unknown-campaign", f"there is no campaign number {batch.number}"
                )
            return list(of_message_events(batch, campaign, self._ids, self.topics.prefix))
        except UnusableError:
            raise
        except (DecodeError, ValueError, OverflowError, OSError) as error:
            # uneven arrays, or a number that is no time
            raise UnusableError("outcome", f"not a batch of outcomes: {error}") from error

    async def _dead_letter(self, record: Any, error: UnusableError) -> None:
        _log.warning(
            "an internal record cannot be published",
            extra={"topic": record.topic, "code": error.code},
        )
        key, value = dead_letter(
            str(error),
            error.code,
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            record.value,
            record.headers,
        )
        topic = self.topics.name(Name.DEAD_LETTERS)
        await answered(self._producer.send_and_wait(topic, value, key=key, partition=0))
        metrics.DEAD_LETTERS.labels("bridge", error.code).inc()

    def _note(self, receipts: Sequence[Receipt]) -> None:
        for generation, offsets in receipts:
            if generation == self.assignments.generation:
                self._stored |= offsets

    async def _commit(self) -> None:
        if not self._stored:
            return
        offsets, self._stored, self._committed_at = self._stored, Offsets(), time.monotonic()
        crash_point("stored", "bridge")
        stream = self.publisher.identity.isoformat() if self.publisher.identity else ""
        await self.commit({partition: (offset, stream) for partition, offset in offsets.items()})

    async def _replay(self) -> None:
        """Begin again at the oldest record that Kafka has."""
        _log.warning(
            "the stream was made again: everything that Kafka still has is published again"
        )
        await self.publisher.forget()
        self.assignments.generation += 1
        self._stored.clear()
        await self.publisher.open()
        if partitions := self.consumer.assignment():
            await self.consumer.seek_to_beginning(*partitions)

    async def _begin(self, assigned: Collection[TopicPartition]) -> Collection[TopicPartition]:
        """Seek to the beginning of the partitions whose committed position belongs to another
        stream, and answer them.
        """
        if not assigned:
            return ()
        async with clients.admin(self.settings) as admin:
            committed = await admin.list_consumer_group_offsets(
                group_of(self.settings, self.name), partitions=list(assigned)
            )
        foreign = [
            partition
            for partition, at in committed.items()
            if at.offset >= 0 and not _is_of(at.metadata, self.publisher.identity)
        ]
        if foreign := [
            partition for partition in foreign if partition in self.consumer.assignment()
        ]:
            _log.warning(
                "the stream is another one than before: "
                "everything that Kafka still has is published again"
            )
            await self.consumer.seek_to_beginning(*foreign)
        return foreign

    async def _report(self, readiness: Readiness) -> None:
        while True:
            standing = await self.standing()
            metrics.LAG.labels(self.name).set(standing.lag)
            await readiness.report(standing)
            await asyncio.sleep(1)

    async def standing(self) -> Standing:
        """Ready with partitions and a connection to NATS. Without the connection it waits, also
        while it looks for the stream, before anything has failed.
        """
        followed, is_connected = await super().standing(), self.publisher.is_connected
        consumer = getattr(self, "consumer", None)
        ready = consumer is not None and bool(consumer.assignment()) and is_connected
        return Standing(ready, followed.lag, followed.position, waits=not is_connected)


def _is_of(metadata: str, stream: datetime | None) -> bool:
    """Whether a position was committed for this stream. Older versions wrote nanoseconds."""
    try:
        return datetime.fromisoformat(metadata) == stream
    except ValueError:
        return False
