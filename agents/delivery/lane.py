"""One partition of `pipeline.messages.v1`: its journal, moved on in transactions, and the messages
that are on their way.

Identity of an effect: the message id, which is in Message-ID, in the same bytes in every try. Order
of effects in a step:

1. one transaction: the outcomes since the last step as events, the journal without them and with
   the messages that go next as in flight, and the position after what was read
2. these messages are handed over, while the next step collects what became of them

A kill -9 in a step before its commit has left nothing of it: the messages that were to go next have
not gone, and those that were answered are still in flight. After any kill the messages in flight
are *in doubt*, whether they had gone or not: at most as many as `Outlet.room` lets go at once. The
next owner resolves each by its route's `onDoubt`, and counts it. A deferred or waiting message was
refused or never tried, so it is in no doubt. No hand-off begins once the last commit is older than
half a session: a worker that was frozen for longer has lost its partition.

Messages that cannot go now are left in Kafka, and only their offsets are kept: nothing waits behind
the messages of a route that is slow or down.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

import msgspec

from agents.delivery.choice import Origin, Routes
from agents.delivery.journal import Journal
from agents.delivery.outlet import Outlet
from agents.delivery.queues import Held, Queue
from agents.delivery.settling import Again, Answered, Done, PutOff, Subject, Terms, expired, settled
from connectors.delivery.classification import Verdict
from streams import metrics
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import end_process
from streams.exactly_once.policy import Policy
from streams.exactly_once.tables import PartitionState, PlainTable
from streams.exactly_once.transactions import Transaction, commit
from streams.records.dead_letters import dead_letter
from streams.records.messages import decode_message, is_built_in
from streams.records.reported_events import Incoming, encode_incoming
from streams.settings import Settings
from streams.topics import Name, Topics

NAME = "deliver"
OPEN = PlainTable("open")  # the journal: number of a block of offsets -> row
#: Open messages of a partition, beyond which no further ones are read.
MOST_OPEN = 1_000_000
_AGAIN = 256  # messages that are read again in one go
_POLL = 0.05  # seconds between two looks at routes that take nothing now
_IDLE_COMMIT = 1.0  # seconds between two commits of a position alone
_log = logging.getLogger(__name__)


class Lane:
    """The owner of a partition: `take` what was read, `again` names what is to be read once more,
    `close` ends it.
    """

    def __init__(self, settings: Settings, state: PartitionState, routes: Routes) -> None:
        """`state` is restored and this process's. Raises NewerStateError."""
        self.number, self._state, self._routes = state.number, state, routes
        self._topics, self._policy = Topics(settings), Policy()
        self._topic = self._topics.name(Name.MESSAGES)
        self.position = max(state.position.get(self._topic, 0), state.beginning[self._topic])
        self.committed = self.position
        self._fresh = (settings.session_timeout / 2).total_seconds()
        self._default = Terms(settings.hour / 12)
        self._journal = Journal(state.rows[OPEN.name])
        self._doubts = set(self._journal.flying())
        self._unread = deque(sorted([*self._doubts, *self._journal.waiting()]))
        self._due = self._journal.deferred()
        self._queues: dict[Origin, Queue] = {}
        self._results: list[tuple[Held, Outlet | None, Answered]] = []
        self._flights: set[asyncio.Task[None]] = set()
        self._refused: list[tuple[Any, str]] = []
        self._committed_at, self._is_closing, self._is_over = 0.0, False, False
        self._wake = asyncio.Event()
        self._work = asyncio.create_task(self._run(), name=f"deliver-{self.number}")
        if self._doubts:
            extra = {"partition": self.number, "count": len(self._doubts)}
            _log.warning("hand-offs were cut off, and their fate is in doubt", extra=extra)

    def __len__(self) -> int:
        return len(self._journal)

    @property
    def is_full(self) -> bool:
        """Whether no further messages are to be read for now."""
        return len(self._journal) >= MOST_OPEN

    @property
    def on_their_way(self) -> int:
        return len(self._flights)

    def take(self, records: Sequence[Any]) -> None:
        """The next records of the partition, in order."""
        for record in records:
            if record.offset >= self.position:
                self.position = record.offset + 1
                if is_built_in(record.headers):
                    self._journal.open(record.offset)
                    self._add(record)
        self._wake.set()

    def again(self) -> list[int]:
        """Offsets of open messages whose content is needed now, in order; each is named once."""
        now = time.time()
        while self._due and self._due[0][0] <= now:
            self._unread.append(heapq.heappop(self._due)[1])
        wanted = [self._unread.popleft() for _ in range(min(_AGAIN, len(self._unread)))]
        for queue in self._queues.values():
            wanted += queue.wanted()
        return sorted(wanted)

    def found(self, records: Iterable[Any], gone: Iterable[int]) -> None:
        """The answer to `again`: records, and offsets that Kafka does not have any more."""
        for record in records:
            if self._journal.is_open(record.offset):
                self._add(record)
        for offset in gone:
            metrics.LOST_TO_RETENTION.labels(self._topic).inc()
            _log.error(
                "Kafka has deleted a message before it was delivered",
                extra={"partition": self.number, "offset": offset},
            )
            self._doubts.discard(offset)
            self._journal.settle(offset)
        self._wake.set()

    def _add(self, record: Any) -> None:
        try:
            held = Held.of(record)
        except (msgspec.DecodeError, ValueError) as error:
            self._refused.append((record, str(error)))
            return
        if record.offset in self._doubts:
            outlet = self._routes.of(held.origin)
            words = Answered(Verdict.DOUBT, "the worker ended before the answer came")
            self._results.append((held, outlet, words))
            return
        self._queue(held).add(held)

    def _queue(self, held: Held) -> Queue:
        return self._queues.setdefault(held.origin, Queue())

    async def _run(self) -> None:
        try:
            while not self._is_over:
                try:
                    async with asyncio.timeout(_POLL if self._queues else 1.0):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                await self._step()
        except Exception as error:  # noqa: BLE001  # a lane that stands still would go unnoticed
            end_process(error)

    async def _step(self) -> None:
        async with self._state.lock:
            now = datetime.now(UTC)
            transaction = Transaction(
                NAME, self._topic, self.number, [], self._topics.name(Name.DEAD_LETTERS)
            )
            self._put_aside(transaction)
            results, self._results = self._results, []
            freed = Counter[Outlet]()
            for held, outlet, answer in results:
                self._settle(transaction, held, outlet, answer, now)
                if outlet is not None and held.offset not in self._doubts:
                    freed[outlet] += 1
                self._doubts.discard(held.offset)
            leaving = [] if self._is_closing else self._leaving(transaction, freed, now)
            position, rows = self.position, self._journal.changes()
            if not rows and not transaction.outbox and not self._has_moved(position):
                return
            for key, row in rows:
                self._state.put(OPEN, key, row)
            started = time.monotonic()
            state_topic = self._topics.name(Name.DELIVER_STATE)
            await commit(transaction, self._state, position, state_topic, now, self._policy)
            self._committed_at, self.committed = started, position
            transaction.committed()
            for outlet, count in freed.items():
                outlet.landed(count)
        crash_point("claimed" if leaving else "settled", NAME)
        for held, outlet in leaving:
            flight = asyncio.create_task(self._fly(held, outlet))
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)

    def _has_moved(self, position: int) -> bool:
        """Whether the position alone is worth a transaction: messages of others went by."""
        is_due = self._is_closing or time.monotonic() - self._committed_at > _IDLE_COMMIT
        return position != self.committed and is_due

    def _put_aside(self, transaction: Transaction) -> None:
        for record, why in self._refused:
            source = (record.topic, record.partition, record.offset, record.timestamp)
            key, value = dead_letter(why, "malformed", *source, record.value, record.headers)
            transaction.send(self._topics.name(Name.DEAD_LETTERS), 0, key, value)
            transaction.on_commit(metrics.DEAD_LETTERS.labels(NAME, "malformed").inc)
            self._journal.settle(record.offset)
        self._refused.clear()

    def _settle(
        self,
        transaction: Transaction,
        held: Held,
        outlet: Outlet | None,
        answer: Answered,
        now: datetime,
    ) -> None:
        terms = self._default if outlet is None else outlet.terms
        subject = self._subject(held)
        fate = settled(subject, answer, terms, now)
        if answer.verdict is Verdict.DOUBT:
            label = "none" if outlet is None else outlet.label
            metrics.DOUBTS.labels(label, terms.resolution(subject, now)).inc()
        match fate:
            case Done(event):
                self._done(transaction, held, event)
            case PutOff(until):
                due = int(until.timestamp()) + 1
                self._journal.defer(held.offset, due)
                heapq.heappush(self._due, (due, held.offset))
            case Again():
                self._journal.wait(held.offset)
                self._queue(held).put_back(held)
            case _:
                assert_never(fate)

    def _done(self, transaction: Transaction, held: Held, event: Incoming) -> None:
        self._journal.settle(held.offset)
        key = event.message_id.encode()
        place = self._topics.name(Name.INCOMING), self._topics.partition(key)
        transaction.send(*place, key, encode_incoming(event))

    def _leaving(
        self, transaction: Transaction, freed: Counter[Outlet], now: datetime
    ) -> list[tuple[Held, Outlet]]:
        """The messages that go with this step; those that have waited too long are settled."""
        leaving: list[tuple[Held, Outlet]] = []
        if not self._routes.is_known:
            return leaving
        for origin, queue in list(self._queues.items()):
            outlet = self._routes.of(origin)
            self._expire(transaction, queue, outlet, now)
            while outlet is not None and queue.ready:
                if not outlet.room(self._wake.set, freed[outlet]):
                    break
                held = queue.pop()
                outlet.take()
                self._journal.fly(held.offset)
                leaving.append((held, outlet))
            if queue.is_empty:
                del self._queues[origin]
        return leaving

    def _expire(
        self, transaction: Transaction, queue: Queue, outlet: Outlet | None, now: datetime
    ) -> None:
        terms = self._default if outlet is None else outlet.terms
        why = "no route of this sender" if outlet is None else "its route took nothing"
        while queue.ready:
            end = expired(self._subject(queue.ready[0]), why, terms, now)
            if end is None:
                return
            held = queue.pop()
            self._done(transaction, held, end.event)

    def _subject(self, held: Held) -> Subject:
        head = held.head
        tries = self._journal.tries(held.offset)
        # not later than now: the clock of its writer may be ahead of this one
        created_at = min(head.created_at, datetime.now(UTC))
        return Subject(head.message_id, head.tenant_id, created_at, tries)

    async def _fly(self, held: Held, outlet: Outlet) -> None:
        try:
            answer = await outlet.hand_off(decode_message(held.value), self._may_begin)
        except msgspec.DecodeError as error:
            answer = Answered(Verdict.CONTENT, f"the message cannot be read: {error}")
        except Exception as error:  # noqa: BLE001  # a bug, after which nothing is known
            end_process(error)
        crash_point("answered", NAME)
        self._results.append((held, outlet, answer))
        self._wake.set()

    def _may_begin(self) -> bool:
        return time.monotonic() - self._committed_at < self._fresh

    async def stop_leaving(self) -> None:
        """Hand nothing over any more. The step that is running ends first."""
        self._is_closing = True
        async with self._state.lock:
            pass

    async def landed(self, patience: timedelta) -> bool:
        """Whether all that is on its way was answered within this time."""
        if not self._flights:
            return True
        _, still = await asyncio.wait(self._flights, timeout=patience.total_seconds())
        return not still

    async def close(self) -> None:
        """Settle what was answered, and let the partition go; after `stop_leaving`, and when all
        has landed or was cut.
        """
        await asyncio.gather(*self._flights)
        self._is_over = True
        self._wake.set()
        await self._work
        await self._step()
        await self._state.close()
