"""Services that work in turns, and those of them that move records: a member of a consumer group
that reads, works, and commits its positions after the effect.

A planned stop lets the turn that is running end, so that nothing is done again. Any unexpected
error ends the process: its successor reads on from the committed position, which is behind
whatever failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from mode import Service

from streams.exactly_once.fatal import UnevenTopicsError, end_process
from streams.kafka.losses import lost_to_retention
from streams.process.consumers import group_consumer
from streams.process.lag import Age
from streams.process.readiness import Follower, Standing
from streams.settings import Settings
from streams.topics import Name, Topics

_ANSWERED = 90.0  # seconds; aiokafka gives up a batch of a mover after 60
_log = logging.getLogger(__name__)
T = TypeVar("T")

Offset = int | tuple[int, str]  # of the next record; the text is kept beside it by the broker
Fetched = dict[TopicPartition, Sequence[Any]]


async def answered(asking: Awaitable[T]) -> T:
    """The answer of a client of Kafka. Raises TimeoutError, and so ends the process, where the
    client has lost its way after an outage: it would be waited for for ever.
    """
    async with asyncio.timeout(_ANSWERED):
        return await asking


class TurnByTurn(Service):  # type: ignore[misc]  # mode is untyped
    """A service whose work is `turn`, again and again until it is stopped. `patience`: seconds for
    the turn that is running then, and for `finish`.
    """

    patience: ClassVar[float] = 5.0

    def __init__(self) -> None:
        super().__init__()
        self._working: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        """Begin the work. Returns at once: the work itself opens its connections, however long that
        takes.
        """
        self._working = self.add_future(self._work())

    async def on_stop(self) -> None:
        """Wait for the end of the running turn, `patience` seconds at most."""
        if self._working is not None:
            await asyncio.wait([self._working], timeout=self.patience)

    async def open(self, stack: AsyncExitStack) -> None:
        """Called once, before the first turn: enter the context managers of the turns into `stack`,
        which is closed after the last turn.
        """

    async def turn(self) -> None:
        """One turn. An exception that it raises ends the process."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Called after the last turn of a planned stop, with everything still open."""

    async def _work(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                await self.open(stack)
                while not self.should_stop:
                    await self.turn()
                await self.finish()
        except Exception as error:  # noqa: BLE001  # a service that stands still would go unnoticed
            end_process(error)


class Mover(TurnByTurn):
    """Reads `reads` as a member of the group `<prefix>campaigns-<name>`; more processes share the
    partitions.

    A mover's `open` enters its own connections and then calls `subscribe`; its `turn` calls `read`
    and ends with `commit`.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[Name, ...]]
    # of the consumer, beside those that all movers share
    options: ClassVar[Mapping[str, Any]] = {}

    consumer: AIOKafkaConsumer
    is_waiting = False  # it stands still on purpose

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings, self.topics = settings, Topics(settings)
        self.assignments, self._follower = Assignments(self.leave), Follower()
        self._age = Age(self.name, self.reads)

    async def open(self, stack: AsyncExitStack) -> None:
        await self.subscribe(stack)

    async def subscribe(self, stack: AsyncExitStack) -> None:
        """Join the group. Partitions are assigned later, during the turns. Raises
        UnevenTopicsError.
        """
        consumer = group_consumer(self.settings, self.name, **self.options)
        consumer.subscribe(list(map(self.topics.name, self.reads)), listener=self.assignments)
        self.consumer = await stack.enter_async_context(consumer)
        for name in self.reads:
            topic, expected = self.topics.name(name), self.topics.count(name)
            found = len(consumer.partitions_for_topic(topic) or ())
            if found not in (0, expected):  # 0: its broker has just started
                raise UnevenTopicsError(f"CAMPAIGNS_PARTITIONS is {expected}, {topic} has {found}")

    async def leave(self) -> None:
        """Called when all partitions are taken away, before the group hands them out anew; it
        waits.
        """

    async def read(self, timeout_ms: int, max_records: int) -> Fetched:
        """The next records by partition; none after `timeout_ms`.

        Where retention has passed the position, what is lost is counted and logged, and reading
        goes on at the oldest record. It begins there, too, where the group has no position.
        """
        try:
            fetched: Fetched = await answered(
                self.consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
            )
        except NoOffsetForPartitionError as error:
            await self._begin_at_the_oldest(error.args[0], None)
            return {}
        except OffsetOutOfRangeError as error:
            for partition, position in error.args[0].items():
                await self._begin_at_the_oldest(partition, position)
            return {}
        self._age.saw(fetched)
        return fetched

    async def _begin_at_the_oldest(self, partition: TopicPartition, position: int | None) -> None:
        found = await self.consumer.beginning_offsets([partition])
        if partition not in self.consumer.assignment():
            return  # a rebalance came first
        self.consumer.seek(partition, found[partition])
        if position is not None and position < found[partition]:
            lost_to_retention(partition, position, found[partition])
        else:
            _log.info(
                "%s has no position in %s that exists: it reads on at the oldest record, %d",
                self.name,
                partition,
                found[partition],
            )

    async def commit(self, offsets: Mapping[TopicPartition, Offset]) -> None:
        """Store the positions of the next records, by partition. After a rebalance that took one
        of the partitions away nothing is stored: their new owner repeats the work.
        """
        try:
            await answered(self.consumer.commit(dict(offsets)))
        except (CommitFailedError, IllegalStateError) as error:
            _log.warning(
                "the positions of %s are not stored, because a rebalance came first: %s",
                self.name,
                type(error).__name__,
            )

    async def standing(self) -> Standing:
        """Ready once it is a member of its group, with partitions or, among many workers, without
        any.
        """
        if (consumer := getattr(self, "consumer", None)) is not None:
            await self._follower.look(consumer)
        return Standing(
            self.assignments.is_joined,
            self._follower.lag,
            self._follower.position,
            self.is_waiting,
        )


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """The partitions that a consumer's group has assigned to it. The listener only takes note,
    because aiokafka logs and swallows its exceptions; a mover looks at it in its turn. `leave` is
    awaited before the partitions move, and its exceptions end the process.
    """

    def __init__(self, leave: Callable[[], Awaitable[None]] | None = None) -> None:
        self._leave = leave
        self.is_joined = False
        self.generation = 0  # grows with every assignment
        self._fresh: Collection[TopicPartition] | None = None

    def take(self) -> Collection[TopicPartition] | None:
        """The partitions assigned since the last call, None if there was no rebalance. All of the
        consumer's are among them: a rebalance hands out everything anew.
        """
        fresh, self._fresh = self._fresh, None
        return fresh

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """The next owner begins where this one has committed."""
        self.is_joined = False
        if self._leave is not None:
            try:
                await self._leave()
            except Exception as error:  # noqa: BLE001
                end_process(error)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Nothing has been read of these partitions yet."""
        self._fresh = assigned
        self.generation += 1
        self.is_joined = True
