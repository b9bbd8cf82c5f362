"""One partition of `pipeline.messages.v1`: its journal, moved on in transactions, and the messages
that are on their way.

Identity of an effect: the message id, which is in Message-ID, in the same bytes in every try. Order
of effects in a step:

1. one transaction: the outcomes since the last step as events, and as feedback to the throttle;
   the journal without them and with the messages that go next as in flight; and the position after
   what was read
2. these messages are handed over, while the next step collects what became of them

A kill -9 in a step before its commit has left nothing of it: the messages that were to go next have
not gone, and those that were answered are still in flight. After any kill the messages in flight
are *in doubt*, whether they had gone or not: at most as many as `Outlet.room` lets go at once. The
next owner resolves each by its route's `onDoubt`, and counts it; one that is handed over again goes
to the same route, and to no other. A deferred or waiting message was refused or never tried, so it
is in no doubt. No hand-off begins once the last commit is older than
half a session: a worker that was frozen for longer has lost its partition.

Messages that cannot go now are left in Kafka, and only their offsets are kept: nothing waits behind
the messages of a route that is slow or down.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from agents.delivery.campaigns import Campaigns
from agents.delivery.doubts import Doubts, row_of
from agents.delivery.open_messages import Leaving, OpenMessages
from agents.delivery.outlets.choice import Routes
from agents.delivery.outlets.outlet import Outlet
from agents.delivery.outlets.settling import Answered, Terms
from agents.delivery.queues import Held
from connectors.delivery.classification import Verdict
from streams import metrics
from streams.contracts.envelope import encode
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import end_process
from streams.exactly_once.policy import Policy
from streams.exactly_once.tables import PartitionState, PlainTable
from streams.exactly_once.transactions import Transaction, commit
from streams.records.dead_letters import dead_letter
from streams.records.messages import decode_message, is_built_in
from streams.records.reported_events import encode_incoming
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.audience.doubts import Resolution

NAME = "deliver"
OPEN = PlainTable("open")  # the journal: number of a block of offsets -> row
#: Open messages of a partition, beyond which no further ones are read.
MOST_OPEN = 1_000_000
_POLL = 0.05  # seconds between two looks at routes that take nothing now
_IDLE_COMMIT = 1.0  # seconds between two commits of a position alone
_log = logging.getLogger(__name__)


class Lane:
    """The owner of a partition: `take` what was read, `again` names what is to be read once more,
    `close` ends it.
    """

    def __init__(
        self,
        settings: Settings,
        state: PartitionState,
        routes: Routes,
        campaigns: Campaigns,
        doubts: Doubts,
    ) -> None:
        """`state` is restored and this process's. Raises NewerStateError."""
        self.number, self._state, self._doubts = state.number, state, doubts
        self._topics, self._policy = Topics(settings), Policy()
        self._topic = self._topics.name(Name.MESSAGES)
        self.position = max(state.position.get(self._topic, 0), state.beginning[self._topic])
        self.committed = self.position
        self._fresh = (settings.session_timeout / 2).total_seconds()
        default = Terms(settings.hour / 12)
        self._messages = OpenMessages(state.rows[OPEN.name], routes, campaigns, default)
        self._results: list[tuple[Held, Outlet | None, Answered]] = []
        self._flights: set[asyncio.Task[None]] = set()
        self._refused: list[tuple[Any, str]] = []
        self._committed_at, self._is_closing, self._is_over = 0.0, False, False
        self._wake = asyncio.Event()
        self._work = asyncio.create_task(self._run(), name=f"deliver-{self.number}")
        if count := len(self._messages.cut_off):
            extra = {"partition": self.number, "count": count}
            _log.warning("hand-offs were cut off, and their fate is in doubt", extra=extra)

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_full(self) -> bool:
        """Whether no further messages are to be read for now."""
        return len(self._messages) >= MOST_OPEN

    @property
    def on_their_way(self) -> int:
        return len(self._flights)

    def campaigns(self) -> set[int]:
        """The numbers of the campaigns that have messages in memory."""
        return self._messages.campaigns()

    def held(self) -> Collection[UUID]:
        """The ids of the messages about which a person is to decide."""
        return self._messages.held()

    def take(self, records: Sequence[Any]) -> None:
        """The next records of the partition, in order."""
        for record in records:
            if record.offset >= self.position:
                self.position = record.offset + 1
                if is_built_in(record.headers):
                    self._messages.open(record)
                    self._add(record)
        self._wake.set()

    def again(self) -> list[int]:
        """Offsets of open messages whose content is needed now, in order; each is named once."""
        return self._messages.again()

    def found(self, records: Iterable[Any], gone: Iterable[int]) -> None:
        """The answer to `again`: records, and offsets that Kafka does not have any more."""
        for record in records:
            if self._messages.is_open(record.offset):
                self._add(record)
        for offset in gone:
            metrics.LOST_TO_RETENTION.labels(self._topic).inc()
            _log.error(
                "Kafka has deleted a message before it was delivered",
                extra={"partition": self.number, "offset": offset},
            )
            self._messages.forget(offset)
        self._wake.set()

    def resolve(self, decided: Mapping[UUID, Resolution]) -> None:
        """Go on with held messages as a person has decided; those of others are left out."""
        self._messages.resolve(decided)
        self._wake.set()

    def _add(self, record: Any) -> None:
        try:
            cut_off = self._messages.add(record)
        except (msgspec.DecodeError, ValueError) as error:
            self._refused.append((record, str(error)))
            return
        if cut_off is not None:
            words = Answered(Verdict.DOUBT, "the worker ended before the answer came")
            self._results.append((*cut_off, words))

    async def _run(self) -> None:
        try:
            while not self._is_over:
                try:
                    async with asyncio.timeout(_POLL if self._messages.are_waiting else 1.0):
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
            self._messages.give_up(now)
            freed, doubts = self._settle(now)
            leaving = [] if self._is_closing else self._leaving(freed, now)
            self._tell(transaction)
            position, rows = self.position, self._messages.changes()
            if not rows and not transaction.outbox and not self._has_moved(position):
                return
            if doubts:
                await self._doubts.note(doubts)
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
        for each in leaving:
            flight = asyncio.create_task(self._fly(each))
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
            self._messages.forget(record.offset)
        self._refused.clear()

    def _settle(self, now: datetime) -> tuple[Counter[Outlet], list[dict[str, Any]]]:
        """Go on with what was answered: how many messages each route has no more, and the doubts to
        note.
        """
        freed, doubts = Counter[Outlet](), list[dict[str, Any]]()
        results, self._results = self._results, []
        for held, outlet, answer in results:
            if outlet is not None and held.offset not in self._messages.cut_off:
                freed[outlet] += 1
            wanted = self._messages.wanted(held, outlet, now)
            fate = self._messages.answered(held, outlet, answer, now)
            if answer.verdict is Verdict.DOUBT:
                doubts.append(row_of(held, outlet, fate, wanted, now))
                label = "none" if outlet is None else outlet.label
                metrics.DOUBTS.labels(label, wanted).inc()
        return freed, doubts

    def _leaving(self, freed: Counter[Outlet], now: datetime) -> list[Leaving]:
        def has_room(outlet: Outlet) -> bool:
            return outlet.room(self._wake.set, freed[outlet]) > 0

        return list(self._messages.leaving(has_room, now))

    def _tell(self, transaction: Transaction) -> None:
        events, feedback = self._messages.told()
        for event in events:
            key = event.message_id.encode()
            place = self._topics.name(Name.INCOMING), self._topics.partition(key)
            transaction.send(*place, key, encode_incoming(event))
        for record in feedback:
            tenant = record.tenant_id.encode()
            place = self._topics.name(Name.SENDING), self._topics.partition(tenant)
            transaction.send(*place, tenant, encode(record))

    async def _fly(self, leaving: Leaving) -> None:
        held, outlet, by = leaving

        def may_begin() -> bool:
            now = time.monotonic()
            return now < by and now - self._committed_at < self._fresh

        try:
            answer = await outlet.hand_off(decode_message(held.value), may_begin)
        except msgspec.DecodeError as error:
            answer = Answered(Verdict.CONTENT, f"the message cannot be read: {error}")
        except Exception as error:  # noqa: BLE001  # a bug, after which nothing is known
            end_process(error)
        crash_point("answered", NAME)
        self._results.append((held, outlet, answer))
        self._wake.set()

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
