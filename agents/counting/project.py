"""The projection: a service that reads `campaigns.facts.v1` and merges the facts into the recipient
rows of PostgreSQL.

It is off the critical path: sending never waits for it, and it steps back while messages go out.
Every row update costs PostgreSQL about 20 us, so facts are collected for two seconds, and a
recipient's sent and delivered become one update. The positions are rows of the table `projections`,
moved in the transaction of the recipients: nothing is lost or done twice. Should a rebalance or a
zombie do work twice all the same, that is harmless, because the merge is idempotent and knows no
order.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from aiokafka import TopicPartition
from msgspec import DecodeError

from streams import metrics
from streams.exactly_once.crash_points import crash_point
from streams.process.mover import Mover
from streams.records.facts import Batch, decode_batch
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name
from tables.audience.projection import Rules, merge, positions
from tables.audience.recipient_updates import RecipientUpdates
from tables.campaigns.numbers import CampaignNumbers
from tables.database.connection import Database, Session

NAME = "recipients"  # in the table `projections`
_COLLECT = 2.0  # seconds
# rows; bounds memory (about 5 MB) and the time of one transaction (about a second)
_ENOUGH = 50_000
_RECORDS = 20  # a fact record holds up to thousands of events
# The rest after a merge, as a share of the time it took: while messages go out, PostgreSQL has
# readers that matter more.
_REST_WHILE_SENDING, _REST = 4.0, 0.05
_log = logging.getLogger(__name__)


class Project(Mover):
    """Waits in place while PostgreSQL is down; any unexpected error ends the process, and its
    successor begins at the stored position.
    """

    name = "project"
    reads = (Name.FACTS,)
    # a merge waits for PostgreSQL as long as it takes
    options: ClassVar[Mapping[str, Any]] = {
        "fetch_max_wait_ms": 200,
        "max_partition_fetch_bytes": 1 << 20,
        "max_poll_interval_ms": 3_600_000,
    }

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__(settings)
        self._topic = self.topics.name(Name.FACTS)
        self._ids, self._numbers = MessageIds.of(settings), CampaignNumbers()
        self._database = Database(settings, "campaigns-project", max_size=1)
        self._stored = dict[int, int]()  # position by partition, as the table has it

    async def open(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._database.close)
        await self.subscribe(stack)

    async def turn(self) -> None:
        """Facts of about two seconds are collected and merged; the merge stores their positions."""
        updates, reached = await self._collect()
        if reached:
            self.is_waiting = True
            await self._merge(updates, reached)
            self.is_waiting = False

    async def _collect(self) -> tuple[RecipientUpdates, dict[int, int]]:
        """The updates of two seconds from the first record, or enough of them, and the positions
        after them.
        """
        updates, reached = RecipientUpdates(self._ids), dict[int, int]()
        until = time.monotonic() + _COLLECT
        while updates.rows < _ENOUGH and time.monotonic() < until and not self.should_stop:
            fetched = await self.read(timeout_ms=200, max_records=_RECORDS)
            if (fresh := self.assignments.take()) is not None:
                # everything collected so far is read again, by its owner
                await self._begin(fresh)
                updates, reached = RecipientUpdates(self._ids), {}
                continue
            if not reached:
                until = time.monotonic() + _COLLECT
            for partition, records in fetched.items():
                for record in records:
                    await self._add(record, updates)
                reached[partition.partition] = records[-1].offset + 1
        return updates, reached

    async def _begin(self, fresh: Collection[TopicPartition]) -> None:
        stored = self._stored = await self._database.until_up(
            lambda session: positions(session, NAME, self._topic)
        )
        for partition in fresh:
            if partition not in self.consumer.assignment():
                continue
            if (position := stored.get(partition.partition)) is not None:
                # out of range (retention, a topic made again): the consumer begins at the oldest
                self.consumer.seek(partition, position)
            else:
                await self.consumer.seek_to_beginning(partition)

    async def _add(self, record: Any, updates: RecipientUpdates) -> None:
        try:
            batch: Batch = decode_batch(record.value or b"")
            if (campaign := self._numbers.get(batch.number)) is None:
                await self._database.until_up(
                    lambda session: self._numbers.load(session, [batch.number])
                )
                campaign = self._numbers.get(batch.number)
            if campaign is not None and campaign.tenant_id == batch.tenant_id:
                updates.add(batch, campaign)
                # a record takes milliseconds, and ingest and fold live here, too
                await asyncio.sleep(0)
                return
        except (DecodeError, ValueError, OverflowError, struct.error):
            _log.debug("a fact that fold has put among the dead letters", exc_info=True)
        _log.warning(
            "a fact belongs to no recipient",
            extra={"partition": record.partition, "offset": record.offset},
        )

    async def _merge(self, updates: RecipientUpdates, reached: Mapping[int, int]) -> None:
        async def work(session: Session) -> int | None:
            stored = await positions(session, NAME, self._topic)
            if any(stored.get(each) != self._stored.get(each) for each in reached):
                return None
            changed = await merge(
                session, updates, NAME, self._topic, reached, Rules.of(self.settings)
            )
            crash_point("before-commit", "project")
            return changed

        started = time.monotonic()
        if (changed := await self._database.until_up(work)) is None:
            # PostgreSQL failed over and lost merges that had been committed, or the connection was
            # lost during a commit, or another process has been at work
            _log.warning("the positions are others than they were: facts are read again from there")
            await self._begin(self.consumer.assignment())
            return
        self._stored.update(reached)
        metrics.PROJECTED.inc(changed)
        share = _REST_WHILE_SENDING if updates.has_sent else _REST
        await asyncio.sleep((time.monotonic() - started) * share)
