"""Recipient rows follow the facts: a service that reads `campaigns.facts.v1` and merges what it
says into PostgreSQL.

It is off the critical path: sending never waits for it, and it steps back while messages go out. A
row update costs PostgreSQL about 20 us whatever it changes, so facts are collected for two seconds
and a recipient's sent and delivered become one update. The positions are rows of the table
`projections`, moved in the transaction of the recipients: nothing is lost or done twice. What a
rebalance or a zombie does twice all the same is harmless, because the merge is idempotent and knows
no order.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from mode import Service
from msgspec import DecodeError

from streams import metrics
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import end_process
from streams.process.consumers import group_consumer
from streams.process.readiness import Follower, Standing
from streams.records.facts import Batch, decode_batch
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.audience.projection import Outcomes, Rules, merge, positions
from tables.campaigns.numbers import CampaignNumbers
from tables.database.connection import Connection, Database

NAME = "recipients"  # in the table `projections`
_COLLECT = 2.0  # seconds
_ENOUGH = (
    50_000  # rows; bounds memory (about 5 MB) and the time of one transaction (about a second)
)
_RECORDS = 20  # a fact record holds up to thousands of events
# How long to rest after a merge, as a share of the time it took: while messages go out PostgreSQL
# has readers who matter more.
_REST_WHILE_SENDING, _REST = 4.0, 0.05
_log = logging.getLogger(__name__)


class Project(Service):  # type: ignore[misc]  # mode is untyped
    """Waits in place while PostgreSQL is down; any unexpected error ends the process, and its
    successor begins at the stored position.
    """

    reports_as = "project"

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__()
        self._settings, self._topic = settings, Topics(settings).name(Name.FACTS)
        self._ids, self._numbers = MessageIds.of(settings), CampaignNumbers()
        self._database = Database(settings, "campaigns-project", max_size=1)
        self._assignments, self._follower = _Assignments(), Follower()
        self._reading: AIOKafkaConsumer | None = None
        self._is_merging = False
        self._running: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        self._running = self.add_future(self._run())

    async def on_stop(self) -> None:
        """Let the merge end, so that a planned stop redoes nothing."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=5)
        await self._database.close()

    async def standing(self) -> Standing:
        """Ready once it is a member of its group, with partitions or, among many workers, without.
        A merge and the rest after it wait.
        """
        if self._reading is not None:
            await self._follower.look(self._reading)
        return Standing(
            self._assignments.is_joined,
            self._follower.lag,
            self._follower.position,
            self._is_merging,
        )

    async def _run(self) -> None:
        try:
            consumer = self._consumer()
            consumer.subscribe([self._topic], listener=self._assignments)
            async with consumer:
                self._reading = consumer
                while not self.should_stop:
                    outcomes, reached = await self._collect(consumer)
                    if reached:
                        self._is_merging = True
                        await self._merge(outcomes, reached)
                        self._is_merging = False
        except Exception as error:  # noqa: BLE001  # the stored position is behind whatever failed
            end_process(error)

    async def _collect(self, consumer: AIOKafkaConsumer) -> tuple[Outcomes, dict[int, int]]:
        """What is reported within two seconds of the first record, or enough of it, with the
        positions after it.
        """
        outcomes, reached = Outcomes(self._ids), dict[int, int]()
        until = time.monotonic() + _COLLECT
        while outcomes.rows < _ENOUGH and time.monotonic() < until and not self.should_stop:
            fetched = await consumer.getmany(timeout_ms=200, max_records=_RECORDS)
            if fresh := self._assignments.take():
                await self._begin(
                    consumer, fresh
                )  # and everything so far is read again by its owner
                outcomes, reached = Outcomes(self._ids), {}
                continue
            if not reached:
                until = time.monotonic() + _COLLECT
            for partition, records in fetched.items():
                for record in records:
                    await self._add(record, outcomes)
                reached[partition.partition] = records[-1].offset + 1
        return outcomes, reached

    async def _begin(self, consumer: AIOKafkaConsumer, fresh: Collection[TopicPartition]) -> None:
        stored: Mapping[int, int] = await self._database.until_up(
            lambda connection: positions(connection, NAME, self._topic)
        )
        for partition in fresh:
            if partition not in consumer.assignment():
                continue
            if (position := stored.get(partition.partition)) is not None:
                consumer.seek(
                    partition, position
                )  # out of range (retention, a topic made again): the consumer begins at the oldest
            else:
                await consumer.seek_to_beginning(partition)

    async def _add(self, record: Any, outcomes: Outcomes) -> None:
        try:
            batch: Batch = decode_batch(record.value or b"")
            if (campaign := self._numbers.get(batch.number)) is None:
                await self._database.until_up(
                    lambda connection: self._numbers.load(connection, [batch.number])
                )
                campaign = self._numbers.get(batch.number)
            if campaign is not None and campaign.tenant_id == batch.tenant_id:
                outcomes.add(batch, campaign)
                await asyncio.sleep(
                    0
                )  # a record takes milliseconds, and ingest and fold live here, too
                return
        except (DecodeError, ValueError, OverflowError, struct.error):
            _log.debug("a fact that fold has put among the dead letters", exc_info=True)
        _log.warning(
            "a fact belongs to no recipient",
            extra={"partition": record.partition, "offset": record.offset},
        )

    async def _merge(self, outcomes: Outcomes, reached: Mapping[int, int]) -> None:
        async def work(connection: Connection) -> int:
            changed = await merge(
                connection, outcomes, NAME, self._topic, reached, Rules.of(self._settings)
            )
            crash_point("before-commit", "project")
            return changed

        started = time.monotonic()
        metrics.PROJECTED.inc(await self._database.until_up(work))
        share = _REST_WHILE_SENDING if outcomes.has_sent else _REST
        await asyncio.sleep((time.monotonic() - started) * share)

    def _consumer(self) -> AIOKafkaConsumer:
        # a merge waits for PostgreSQL as long as it takes
        patient = {
            "fetch_max_wait_ms": 200,
            "max_partition_fetch_bytes": 1 << 20,
            "max_poll_interval_ms": 3_600_000,
        }
        return group_consumer(self._settings, "project", **patient)


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Only takes note: aiokafka logs and swallows what a listener raises."""

    def __init__(self) -> None:
        self._fresh: Collection[TopicPartition] = ()
        self.is_joined = False

    def take(self) -> Collection[TopicPartition]:
        """Partitions assigned since the last call; all of them, because a rebalance hands out
        everything anew.
        """
        fresh, self._fresh = self._fresh, ()
        return fresh

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """The next owner begins at the stored positions."""
        self.is_joined = False

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._fresh = assigned
        self.is_joined = True
