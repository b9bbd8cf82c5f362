"""Exactly-once Faust agents: the outputs, table rows and input position of a source partition are
one Kafka transaction.

Guarantees, for an app that has only such agents (each shown by
`tests/faults/test_exactly_once_chaos.py`):

- *atomic*: outputs, rows and position of a batch become visible together or never;
- *complete*: every committed input record is processed, and its effect committed, once, although
  processes are killed, frozen or rebalanced;
- *ordered*: a source partition is processed and its effects are committed in its order; no skip or
  reordering inside Faust gets by (the chain guard ends the process instead);
- *single owner*: of two workers that believe they own a partition, only the latest can commit (the
  transactional id fences);
- *restored*: a new owner continues from exactly the rows and positions that were committed.

How: one state topic per role (compacted, as many partitions as the sources) holds in partition p
all that belongs to source partition p: `table\\0key` -> value and `\\0topic` -> next input offset.
The worker that is assigned p fences the former owner by opening the producer `<app id>-p`, restores
p, and reads on from the stored position. Every error ends the process (fatal.py): memory never
needs a rollback. Not covered: effects outside Kafka (make them idempotent by identity), sources
that retention empties before they are read (logged and counted), replication that loses
acknowledged records.

A body is short: it holds all topics of its partition. The Kafka transaction opens after it, so a
slow read cannot time it out. It decides by the records' timestamps, catches what a poison record
raises (`Transaction.dead_letter`), and never swallows CancelledError.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka.producer import sender
from mode.utils.times import want_seconds

from streams import metrics
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import (
    ForeignTopicError,
    LostInputError,
    StuckRebalanceError,
    end_process,
)
from streams.exactly_once.policy import Policy
from streams.exactly_once.restore import opened, restore
from streams.exactly_once.tables import PartitionState, TransactionalTables
from streams.exactly_once.transactions import Transaction, commit
from streams.exactly_once.transport import TransactionalAssignor
from streams.settings import Settings
from streams.topics import Name

Body = Callable[[Transaction], Awaitable[None]]
_log = logging.getLogger(__name__)

# After a commit the markers are still being written; aiokafka retries the next transaction of the
# same id after a fixed 20 ms. With 2 ms a hot partition commits two to three times as often (10
# records a transaction: 2,500 -> 6,000 records/s).
sender.BACKOFF_OVERRIDE = 0.002


class ExactlyOnce:
    """The exactly-once agents of one app; `create_app` makes it as `app.exactly_once`."""

    def __init__(
        self,
        app: Any,
        settings: Settings,
        policy: Policy | None = None,
        *,
        end: Callable[[BaseException], Any] = end_process,
    ) -> None:
        if app.conf.TableManager is not TransactionalTables or app.conf.table_standby_replicas < 1:
            # 0 selects a round-robin assignor that may put partition p of two sources on two
            # workers, which then fence each other
            raise ValueError(
                "an exactly-once app needs TableManager=TransactionalTables and "
                "table_standby_replicas > 0; use create_app"
            )
        self.app, self.end, self.policy = app, end, policy or Policy()
        self.settings, self.state_topic = settings, f"{app.conf.id}-state"
        self.dead_letters = settings.topic_prefix + Name.DEAD_LETTERS
        self.sources: set[str] = set()
        self.running = 0  # bodies
        # all assigned partitions are restored; also true for a worker that was assigned none
        self.is_restored = False
        self._rebalancing = 0  # looks in a row that have met a rebalance
        app.exactly_once = self  # the transport asks for it
        app.conf.PartitionAssignor = TransactionalAssignor
        app.on_partitions_revoked.connect(self._on_partitions_revoked)
        # Faust awaits it before it seeks and resumes
        app.on_rebalance_complete.connect(self._on_rebalance_complete)

    @property
    def owned(self) -> dict[int, PartitionState]:
        owned: dict[int, PartitionState] = self.app.tables.owned
        return owned

    def is_ready(self) -> bool:
        """Whether partitions are assigned (none is fine) and restored. Asked once a second: when a
        rebalance does not end, whatever part of Faust has lost it, the process does.
        """
        is_stuck = self.app.rebalancing and not self.running
        self._rebalancing = self._rebalancing + 1 if is_stuck else 0
        if self._rebalancing > self.policy.rebalance.total_seconds():
            self.end(StuckRebalanceError(f"a rebalance takes {self._rebalancing} s"))
        return self.is_restored and not self.app.rebalancing

    def agent(
        self, topic: Any, *, name: str, max_events: int = 300, within: timedelta | float = 0.05
    ) -> Callable[[Body], Any]:
        """Register `async def body(tx: Transaction) -> None` as the agent `name` on `topic` (see
        `raw_topic`).

        The body is called with at most `max_events` events of one partition, collected for at most
        `within` (seconds or timedelta); bodies of different partitions run concurrently, those of
        one partition never. Outputs of a batch are one transaction, which costs 2-5 ms.
        """
        self.sources.update(topic.topics)

        def register(body: Body) -> Any:
            async def run(stream: Any) -> None:
                async for events in stream.take_events(max_events, want_seconds(within)):
                    await self.process(name, events, body)

            # Faust derives more than the agent's name from these
            run.__name__ = run.__qualname__ = name
            return self.app.agent(topic, name=name, concurrency=1)(run)

        return register

    async def process(self, agent: str, events: Sequence[Any], body: Body) -> None:
        """One transaction per source partition found in `events`; ends the process on any error,
        cancellation included.
        """
        sources = defaultdict(list)
        for event in events:
            sources[event.message.tp].append(event)
        try:
            await asyncio.gather(
                *(self._transact(agent, source, batch, body) for source, batch in sources.items())
            )
        # CancelledError too: Faust would acknowledge the half-done batch
        except BaseException as error:
            self.end(error)
            raise

    async def _transact(self, agent: str, source: Any, events: list[Any], body: Body) -> None:
        if (state := self.owned.get(source.partition)) is None:
            return  # a leftover from a partition that moved away: its new owner reads it again
        async with state.lock:
            fresh, position = self._fresh(state, source, events)
            if not fresh:
                return
            transaction = Transaction(
                agent, source.topic, source.partition, fresh, self.dead_letters
            )
            transaction.put_unreadable_aside()
            started = time.perf_counter()
            if transaction.events:
                await self._run(body, transaction, state)
            crash_point("body", agent)
            decided = time.perf_counter()
            records = await commit(
                transaction,
                state,
                position,
                self.state_topic,
                datetime.now(UTC),
                self.policy,
            )
            metrics.BODY_SECONDS.labels(agent).observe(decided - started)
            metrics.COMMIT_SECONDS.labels(agent).observe(time.perf_counter() - decided)
        metrics.TRANSACTIONS.labels(agent).inc()
        metrics.EVENTS.labels(agent).inc(len(fresh))
        metrics.RECORDS.labels(agent).inc(records)
        transaction.committed()
        if transaction.rest:
            await asyncio.sleep(transaction.rest)

    def _fresh(
        self, state: PartitionState, source: Any, events: list[Any]
    ) -> tuple[list[Any], int]:
        """The events to process and the position after them. Raises LostInputError if one was
        skipped between fetch and here.
        """
        position, epoch = state.position.get(source.topic, 0), self.app.consumer.epoch
        # records below the position were processed; records fetched before the last seek come again
        fresh = [
            event
            for event in events
            if event.message.offset >= position and event.message.epoch == epoch
        ]
        for event in fresh:
            if event.message.previous >= position:
                got = f"{event.message.offset} after {event.message.previous}"
                raise LostInputError(f"{source} is at {position}, got {got}")
            position = event.message.offset + 1
        return fresh, position

    async def _run(self, body: Body, transaction: Transaction, state: PartitionState) -> None:
        watchdog = asyncio.get_running_loop().call_later(
            self.policy.slow_body.total_seconds(), self._warn, transaction, 1
        )
        self.running += 1
        try:
            with state.current():
                await body(transaction)
        finally:
            self.running -= 1
            transaction.is_running = False
            watchdog.cancel()

    def _warn(self, transaction: Transaction, times: int) -> None:
        if transaction.is_running:
            seconds = self.policy.slow_body.total_seconds()
            metrics.SLOW_BODIES.labels(transaction.agent).inc()
            where = f"{transaction.topic}-{transaction.partition}"
            _log.warning(
                "agent %s has held %s for %.0f s", transaction.agent, where, times * seconds
            )
            asyncio.get_running_loop().call_later(seconds, self._warn, transaction, times + 1)

    def committed_positions(self, sources: Iterable[Any]) -> dict[Any, int]:
        """Next input offset per source, of those that have one."""
        return {
            source: self.owned[source.partition].position[source.topic]
            for source in sources
            if source.partition in self.owned
            and source.topic in self.owned[source.partition].position
        }

    def starting_positions(self, sources: Iterable[Any]) -> dict[Any, int]:
        """Where to read on: the committed position, or the oldest record if there is none or if
        retention has passed it.
        """
        return {
            source: max(state.position.get(source.topic, 0), state.beginning.get(source.topic, 0))
            for source in sources
            if (state := self.owned.get(source.partition)) is not None
        }

    async def _on_partitions_revoked(self, app: Any, revoked: Any, **_: Any) -> None:
        # The group waits for this: running transactions end before a new owner can fence them, and
        # buffered records are refused.
        self.is_restored = False
        app.consumer.forget_fetched()
        for state in list(self.owned.values()):
            async with state.lock:
                pass

    async def _on_rebalance_complete(self, app: Any, **_: Any) -> None:
        try:
            await self._take_over(list(app.consumer.assignment()))
            self.is_restored = True
        except BaseException as error:
            # Faust would go on without the state, unless it was told to end meanwhile
            if not (isinstance(error, asyncio.CancelledError) and app.should_stop):
                self.end(error)
            raise

    async def _take_over(self, assigned: list[Any]) -> None:
        if foreign := {source.topic for source in assigned} - self.sources:
            raise ForeignTopicError(f"assigned {sorted(foreign)}")
        owned, mine = self.owned, {source.partition for source in assigned}
        # a partition that stays keeps its rows: had another worker owned it in between, our next
        # commit would be fenced
        await asyncio.gather(*(owned.pop(number).close() for number in set(owned) - mine))
        if new := mine - set(owned):
            started, timeout = time.monotonic(), self.policy.timeout.total_seconds()
            states = await asyncio.wait_for(asyncio.gather(*map(self._open, new)), timeout)
            sources = [
                (source.topic, source.partition) for source in assigned if source.partition in new
            ]
            records = await restore(self.settings, self.state_topic, states, sources, timeout)
            owned.update((state.number, state) for state in states)
            seconds = time.monotonic() - started
            metrics.RESTORE_SECONDS.labels(app_id := self.app.conf.id).observe(seconds)
            metrics.RESTORED.labels(app_id).inc(records)
            _log.info(
                "partitions %s restored from %d records in %.2f s, %s kept",
                sorted(new),
                records,
                seconds,
                sorted(mine - new),
            )
        metrics.PARTITIONS.labels(self.app.conf.id).set(len(mine))

    async def _open(self, number: int) -> PartitionState:
        tables = self.app.tables.transactional
        return await opened(self.settings, self.app.conf.id, number, tables, self.policy)
