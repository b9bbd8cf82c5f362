"""The open messages of one partition: where each stands, which are needed again, and which may go
now. Nothing is written here; the lane does that with `changes` and `told`.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, assert_never
from uuid import UUID

from agents.delivery.campaigns import Campaigns
from agents.delivery.feedback import Feedback
from agents.delivery.journal import Journal
from agents.delivery.outlets.choice import Routes, chosen, way_of
from agents.delivery.outlets.outlet import Outlet
from agents.delivery.outlets.settling import (
    LONGEST_AGE,
    Again,
    Answered,
    Done,
    Fate,
    Hold,
    PutOff,
    Subject,
    Terms,
    Wanted,
    cancelled,
    dropped,
    expired,
    settled,
)
from agents.delivery.queues import Held, Origin, Queue, Queues
from connectors.delivery.classification import Verdict
from streams.records.reported_events import Incoming
from streams.records.sending import Settled
from tables.audience.doubts import Resolution

_AGAIN = 256  # messages that are read again in one go


class Leaving(NamedTuple):
    """A message that is to be handed to a route, before a time of `monotonic`."""

    held: Held
    outlet: Outlet
    by: float


class Told(NamedTuple):
    """The events about messages that are done with, and the feedback to the throttle."""

    events: list[Incoming]
    feedback: list[Settled]


class OpenMessages:
    """Begins with what the journal says after a restart."""

    def __init__(
        self, rows: Mapping[bytes, bytes], routes: Routes, campaigns: Campaigns, default: Terms
    ) -> None:
        """`default` are the terms without a route. Raises NewerStateError."""
        self._routes, self._campaigns, self._default = routes, campaigns, default
        self._journal = Journal(rows)
        #: The offsets of those whose hand-off was cut off, and was not looked at yet.
        self.cut_off = set(self._journal.flying())
        self._unread = deque(sorted([*self.cut_off, *self._journal.waiting()]))
        self._due = self._journal.deferred()
        self._queues, self._feedback = Queues(), Feedback()
        self._held: dict[UUID, Held] = {}  # without their content
        self._given_up: list[Held] = []
        self._events: list[Incoming] = []

    def __len__(self) -> int:
        return len(self._journal)

    @property
    def are_waiting(self) -> bool:
        """Whether some could go, if their routes let them."""
        return bool(self._queues)

    def campaigns(self) -> set[int]:
        """The numbers of the campaigns that have messages in memory."""
        return self._queues.numbers()

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """The rows of the journal that have changed since the last call; None: removed."""
        return self._journal.changes()

    def told(self) -> Told:
        """Everything that there is to tell since the last call."""
        events, self._events = self._events, []
        return Told(events, list(self._feedback.records()))

    def open(self, record: Any) -> None:
        """A message was read for the first time. A repeat changes nothing."""
        self._journal.open(record.offset)

    def is_open(self, offset: int) -> bool:
        """Whether the message is not settled."""
        return self._journal.is_open(offset)

    def forget(self, offset: int) -> None:
        """A message cannot be read, and nothing is told of it."""
        self.cut_off.discard(offset)
        self._journal.settle(offset)

    def again(self) -> list[int]:
        """Offsets of messages whose content is needed now, in order; each is named once."""
        now = time.time()
        while self._due and self._due[0][0] <= now:
            self._unread.append(heapq.heappop(self._due)[1])
        wanted = [self._unread.popleft() for _ in range(min(_AGAIN, len(self._unread)))]
        return sorted([*wanted, *self._queues.wanted()])

    def add(self, record: Any) -> tuple[Held, Outlet | None] | None:
        """The content of an open message is here. The message and its route if its hand-off was cut
        off: `answered` is to say so. Raises msgspec.DecodeError and ValueError.
        """
        held = Held.of(record, self._journal.route(record.offset))
        if record.offset in self.cut_off:
            handed_to = self._routes.fitting(held.origin.sender, held.origin.pin)
            return held, handed_to[0] if handed_to else None
        if self._journal.is_held(record.offset):
            self._keep(held)
        else:
            self._queues.add(held)
        return None

    def _keep(self, held: Held) -> None:
        self._held[UUID(held.head.message_id)] = replace(held, value=b"")

    def held(self) -> Collection[UUID]:
        """The ids of the messages about which a person is to decide."""
        return self._held.keys()

    def resolve(self, decided: Mapping[UUID, Resolution]) -> None:
        """Go on with held messages as a person has decided; those of others are left out."""
        for message_id, resolution in decided.items():
            if (held := self._held.pop(message_id, None)) is None:
                continue
            if resolution is Resolution.RESEND:
                change = self._journal.wait(held.offset, held.origin.pin)
                self._feedback.defer(held.campaign, change)
                self._unread.append(held.offset)
            else:
                self._given_up.append(held)

    def give_up(self, now: datetime) -> None:
        """End the held messages that nobody wants to be handed over again."""
        for held in self._given_up:
            words = "nobody knows whether it arrived"
            self._done(held, dropped(self._subject(held), words, now).event)
        self._given_up.clear()

    def answered(self, held: Held, outlet: Outlet | None, answer: Answered, now: datetime) -> Fate:
        """Go on with a message after the answer to its hand-off."""
        fate = settled(self._subject(held), answer, self._terms(outlet), now)
        if answer.verdict is Verdict.DOUBT and outlet is not None:
            held = held.pinned(outlet.mark)
        match fate:
            case Done(event):
                self._done(held, event)
            case PutOff(until):
                due = int(until.timestamp()) + 1
                change = self._journal.defer(held.offset, due, held.origin.pin)
                self._feedback.defer(held.campaign, change)
                heapq.heappush(self._due, (due, held.offset))
            case Again():
                self._journal.wait(held.offset, held.origin.pin)
                self._queues.put_back(held)
            case Hold():
                change = self._journal.hold(held.offset, held.origin.pin)
                self._feedback.defer(held.campaign, change)
                self._keep(held)
            case _:
                assert_never(fate)
        self.cut_off.discard(held.offset)
        return fate

    def wanted(self, held: Held, outlet: Outlet | None, now: datetime) -> Wanted:
        """The way to resolve a doubt about the message."""
        return self._terms(outlet).resolution(self._subject(held), now)

    def _terms(self, outlet: Outlet | None) -> Terms:
        return self._default if outlet is None else outlet.terms

    def leaving(self, has_room: Callable[[Outlet], bool], now: datetime) -> Iterable[Leaving]:
        """Each message that goes now; those that have waited too long, or whose campaign is
        cancelled, are done with.
        """
        if not (self._routes.is_known and self._campaigns.is_known):
            return
        for origin, queue in self._queues:
            fitting = self._routes.fitting(origin.sender, origin.pin)
            if self._campaigns.is_cancelled(origin.campaign.number):
                while queue.ready:
                    held = self._queues.pop(origin)
                    self._done(held, cancelled(self._subject(held), now).event)
            is_paused = self._campaigns.is_paused(origin.campaign.number)
            self._expire(origin, queue, fitting[0] if fitting else None, now, is_paused=is_paused)
            while queue.ready and not is_paused:
                outlet = chosen(fitting, queue.ready[0].head.message_id, has_room)
                if outlet is None:
                    self._feedback.note(origin.campaign, way_of(fitting))
                    break
                held = self._queues.pop(origin)
                change = self._journal.fly(held.offset, outlet.mark)
                self._feedback.defer(held.campaign, change)
                yield Leaving(held, outlet, outlet.take())

    def _expire(
        self,
        origin: Origin,
        queue: Queue,
        outlet: Outlet | None,
        now: datetime,
        *,
        is_paused: bool,
    ) -> None:
        """End the first messages that have waited too long. Those of a paused campaign wait for as
        long as Kafka keeps them.
        """
        terms = self._terms(outlet)
        why = "no route of this sender" if outlet is None else "its route took nothing"
        if is_paused:
            terms, why = replace(terms, most_age=LONGEST_AGE), "its campaign was paused"
        while queue.ready:
            end = expired(self._subject(queue.ready[0]), why, terms, now)
            if end is None:
                return
            self._done(self._queues.pop(origin), end.event)

    def _done(self, held: Held, event: Incoming) -> None:
        self._feedback.defer(held.campaign, self._journal.settle(held.offset))
        self._feedback.settle(held.campaign)
        self._events.append(event)

    def _subject(self, held: Held) -> Subject:
        head = held.head
        tries = self._journal.tries(held.offset)
        # not later than now: the clock of its writer may be ahead of this one
        created_at = min(head.created_at, datetime.now(UTC))
        return Subject(head.message_id, head.tenant_id, created_at, tries)
