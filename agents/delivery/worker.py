"""The role `deliver`: the built-in messages of `pipeline.messages.v1` are handed to the relays of
their tenants, and what became of each is reported on `pipeline.events.v1`.

A service on aiokafka, not an agent, since it waits for others. A partition has one owner: producer,
fencing and restore are those of `streams/exactly_once`, and `lane` says what a kill can leave in
doubt. When the partitions are taken away, and at a planned stop, nothing more is handed over, what
is on its way is answered and settled, and then they are let go: nothing goes twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import DecodeError, Struct, json

from agents.delivery.campaigns import Campaigns
from agents.delivery.doubts import Doubts
from agents.delivery.lane import NAME, OPEN, Lane
from agents.delivery.outlets.choice import Routes
from streams import metrics
from streams.exactly_once.fatal import end_process
from streams.exactly_once.policy import Policy
from streams.exactly_once.restore import opened, restore
from streams.kafka import clients
from streams.process.consumers import group_of
from streams.process.mover import Mover
from streams.process.readiness import Readiness, Standing
from streams.records.messages import is_built_in
from streams.settings import Settings
from streams.topics import Name
from tables.audience.doubts import Resolution
from tables.database.connection import Database

_READ = 1_000  # messages of one turn
_LANDING = timedelta(seconds=8)  # for what is on its way when the process stops
_APART = 500  # offsets between two messages that are read again in one go, at most
_GIVE_UP = 20.0  # seconds without a record: the rest is asked for again
_IDLE = 0.05  # seconds
_log = logging.getLogger(__name__)


class _Tenant(Struct, rename="camel"):
    tenant_id: str = ""


_decode_tenant = json.Decoder(_Tenant).decode


class Deliver(Mover):
    """More processes share the partitions. Any unexpected error ends the process."""

    name = NAME
    reads = (Name.MESSAGES,)
    # PostgreSQL is waited for as long as it takes
    options: ClassVar[Mapping[str, Any]] = {
        "max_partition_fetch_bytes": 4 << 20,
        "max_poll_interval_ms": 3_600_000,
    }
    # of 15 seconds that supervisors give
    patience = _LANDING.total_seconds() + 4

    def __init__(self, app: object, settings: Settings) -> None:
        super().__init__(settings)
        self._database = Database(settings, "campaigns-deliver", max_size=2)
        self._routes = Routes(settings, self._database)
        self._campaigns = Campaigns(self._database, self._open)
        self._doubts = Doubts(self._database)
        self._lanes: dict[int, Lane] = {}
        self._topic, self._policy = self.topics.name(Name.MESSAGES), Policy()
        self._again: AIOKafkaConsumer
        self._told_at = 0.0

    async def on_start(self) -> None:
        await super().on_start()
        self.add_future(self._report(Readiness(self.settings)))

    async def open(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._database.close)
        stack.push_async_callback(self._routes.close)
        again = clients.consumer(
            self.settings,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",  # of messages that retention has deleted
            fetch_max_wait_ms=50,
        )
        self._again = await stack.enter_async_context(again)
        await self.subscribe(stack)
        for work in self._keep_up():
            task = asyncio.create_task(_or_end(work))
            stack.callback(task.cancel)

    def _keep_up(self) -> Iterable[Awaitable[None]]:
        """The work beside the turns, for ever."""
        yield self._routes.follow()
        yield self._routes.reserve()
        yield self._campaigns.follow()
        yield self._doubts.follow(self._held, self._resolve)
        yield self._read_again()

    async def turn(self) -> None:
        """Messages are read and go to the lanes, which hand them over meanwhile."""
        fetched = await self.read(timeout_ms=200, max_records=_READ)
        if (fresh := self.assignments.take()) is not None:
            await self._take_over(fresh)
            return
        for partition, records in fetched.items():
            await self._routes.learn(_tenants(records))
            if (lane := self._lanes.get(partition.partition)) is not None:
                lane.take(records)
        self._pause()
        await self._tell()

    async def finish(self) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Hand nothing over any more, wait for what is on its way, settle, let the partitions go.
        Connections that have not answered by then are dropped: their messages are in doubt.
        """
        lanes, self._lanes = list(self._lanes.values()), {}
        await asyncio.gather(*(lane.stop_leaving() for lane in lanes))
        landed = await asyncio.gather(*(lane.landed(_LANDING) for lane in lanes))
        if not all(landed):
            self._routes.cut()
        await asyncio.gather(*(lane.close() for lane in lanes))

    async def _take_over(self, fresh: Collection[TopicPartition]) -> None:
        """Fence the former owners, restore the journals, read on from their positions."""
        generation, started = self.assignments.generation, time.monotonic()
        app_id, numbers = group_of(self.settings, NAME), [each.partition for each in fresh]
        tables = {OPEN.name: OPEN}
        states = await asyncio.gather(
            *(opened(self.settings, app_id, number, tables, self._policy) for number in numbers)
        )
        if states:
            sources = [(self._topic, number) for number in numbers]
            timeout = self._policy.timeout.total_seconds()
            topic = self.topics.name(Name.DELIVER_STATE)
            restored = await restore(self.settings, topic, states, sources, timeout)
            seconds = time.monotonic() - started
            metrics.RESTORE_SECONDS.labels(app_id).observe(seconds)
            metrics.RESTORED.labels(app_id).inc(restored)
        if self.assignments.generation != generation or not self.assignments.is_joined:
            await asyncio.gather(*(state.close() for state in states))  # taken away meanwhile
            return
        self._routes.share(len(states) / self.topics.count(Name.MESSAGES))
        self._again.assign(partitions := [self._tp(number) for number in numbers])
        self._again.pause(*partitions)  # nothing of them is wanted yet
        for state in states:
            lane = self._lanes[state.number] = Lane(
                self.settings, state, self._routes, self._campaigns, self._doubts
            )
            self.consumer.seek(self._tp(state.number), lane.position)
        metrics.PARTITIONS.labels(app_id).set(len(states))
        _log.info("partitions %s are delivered by this worker", sorted(numbers))

    def _pause(self) -> None:
        """Read no further where too much is open."""
        for number, lane in self._lanes.items():
            partition = self._tp(number)
            if lane.is_full and partition in self.consumer.assignment():
                self.consumer.pause(partition)
            elif partition in self.consumer.paused():
                self.consumer.resume(partition)

    async def _tell(self) -> None:
        """Let the group, and so its observers, know the positions."""
        if time.monotonic() - self._told_at > 1 and self._lanes:
            self._told_at = time.monotonic()
            at = {self._tp(lane.number): lane.committed for lane in self._lanes.values()}
            await self.commit(at)

    def _open(self) -> set[int]:
        """The campaigns that have messages in memory here."""
        return set[int]().union(*(lane.campaigns() for lane in self._lanes.values()))

    def _held(self) -> set[UUID]:
        """The messages about which a person is to decide."""
        return set[UUID]().union(*(lane.held() for lane in self._lanes.values()))

    def _resolve(self, decided: Mapping[UUID, Resolution]) -> None:
        for lane in self._lanes.values():
            lane.resolve(decided)

    def _tp(self, number: int) -> TopicPartition:
        return TopicPartition(self._topic, number)

    async def _read_again(self) -> None:
        """Messages that were put off, or parked, are read again when they may go."""
        while True:
            is_idle = True
            for lane in list(self._lanes.values()):
                wanted = lane.again()
                while wanted:
                    is_idle = False
                    piece = _together(wanted)
                    del wanted[: len(piece)]
                    records, gone, left = await self._fetched(lane.number, piece)
                    await self._routes.learn(_tenants(records))
                    lane.found(records, gone)
                    wanted = sorted([*wanted, *left])
            if is_idle:
                await asyncio.sleep(_IDLE)

    async def _fetched(
        self, number: int, offsets: Sequence[int]
    ) -> tuple[list[Any], list[int], list[int]]:
        """The records at these offsets, in order; those of them that are gone; and those that are
        left because Kafka did not answer.
        """
        partition, wanted = self._tp(number), set(offsets)
        if partition not in self._again.assignment():
            return [], [], []  # a rebalance came first
        self._again.seek(partition, offsets[0])
        self._again.resume(partition)
        found, passed, alive = list[Any](), offsets[0], time.monotonic()
        while passed <= offsets[-1] and time.monotonic() - alive < _GIVE_UP:
            fetched = await self._again.getmany(partition, timeout_ms=100, max_records=_READ)
            if partition not in self._again.assignment():
                return [], [], []
            for record in fetched.get(partition, ()):
                if record.offset in wanted:
                    found.append(record)
            position = await self._again.position(partition)
            alive = time.monotonic() if position != passed else alive
            passed = position
        self._again.pause(partition)
        seen = {record.offset for record in found}
        missing = [offset for offset in offsets if offset not in seen]
        gone = [offset for offset in missing if offset < passed]
        return found, gone, [offset for offset in missing if offset >= passed]

    async def _report(self, readiness: Readiness) -> None:
        while True:
            standing = await self.standing()
            metrics.LAG.labels(self.name).set(standing.lag)
            metrics.OPEN_MESSAGES.set(sum(map(len, self._lanes.values())))
            await readiness.report(standing)
            await asyncio.sleep(1)

    async def standing(self) -> Standing:
        """Ready once the partitions that it has joined the group for are restored. It waits where
        too much is open to read on.
        """
        followed = await super().standing()
        consumer = getattr(self, "consumer", None)
        assigned = consumer.assignment() if consumer is not None else ()
        ready = followed.ready and len(self._lanes) == len(assigned)
        is_full = any(lane.is_full for lane in self._lanes.values())
        return Standing(ready, followed.lag, followed.position, waits=is_full)


def _tenants(records: Iterable[Any]) -> set[str]:
    """The tenants of the built-in messages among these records."""
    found = set[str]()
    for record in records:
        if is_built_in(record.headers):
            try:
                found.add(_decode_tenant(record.value or b"").tenant_id)
            except DecodeError:
                continue  # its lane puts it aside
    return found


def _together(offsets: Sequence[int]) -> list[int]:
    """The first of these offsets that lie close together."""
    for place in range(1, len(offsets)):
        if offsets[place] - offsets[place - 1] > _APART:
            return list(offsets[:place])
    return list(offsets)


async def _or_end(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  # nothing would go without it, and nobody notice
        end_process(error)
