"""The messages that may go, by campaign and sender: some in memory, as they lie in Kafka, and the
others by their offsets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from agents.delivery.feedback import CampaignKey
from agents.delivery.outlets.choice import Sender
from streams.contracts.values.domains import domain_of
from streams.records.message_id import campaign_number

#: Of one campaign, kept in memory; others are read again.
MOST_READY = 256
#: Of all campaigns together; beyond it each has LEAST_READY messages at most.
MOST_BYTES, LEAST_READY = 8 << 20, 8
_FEW_READY = 64  # when so few are left, parked ones are read again


class Origin(NamedTuple):
    """The campaign of a message, and its sender. `pin`: the mark of the one route that may have the
    message already, and so the only one that it may be handed to; 0 without one.
    """

    campaign: CampaignKey
    sender: Sender
    pin: int = 0


class _From(msgspec.Struct, rename="camel"):
    email: str = ""
    sender_id: str = ""


class Head(msgspec.Struct, rename="camel"):
    """The part of a message that is read before it can go."""

    message_id: str
    tenant_id: str
    channel: str
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    sender: _From | None = msgspec.field(default=None, name="from")


_decode = msgspec.json.Decoder(Head).decode


@dataclass(frozen=True, slots=True)
class Held:
    """A message in memory."""

    offset: int
    value: bytes
    head: Head
    origin: Origin

    @property
    def campaign(self) -> CampaignKey:
        return self.origin.campaign

    def pinned(self, route: int) -> Held:
        """The same, for this route alone."""
        return replace(self, origin=self.origin._replace(pin=route))

    @classmethod
    def of(cls, record: Any, pin: int = 0) -> Held:
        """Raises msgspec.DecodeError and ValueError for a record that is no message."""
        head = _decode(record.value or b"")
        said = head.sender or _From()
        name = domain_of(said.email) if head.channel == "email" else said.sender_id
        sender = Sender(head.tenant_id, head.channel, name or "")
        origin = Origin(CampaignKey(head.tenant_id, campaign_number(head.message_id)), sender, pin)
        return cls(record.offset, record.value, head, origin)


@dataclass
class Queue:
    """In the order in which they are to go, but for those that were put back."""

    ready: deque[Held] = field(default_factory=deque)
    parked: deque[int] = field(default_factory=deque)

    @property
    def is_empty(self) -> bool:
        return not self.ready and not self.parked


class Queues:
    """One queue for each origin that has open messages."""

    def __init__(self) -> None:
        self._by_origin: dict[Origin, Queue] = {}
        self._size = 0  # bytes of the ready ones

    def __bool__(self) -> bool:
        return bool(self._by_origin)

    def __iter__(self) -> Iterator[tuple[Origin, Queue]]:
        """Those that have messages now; any of them may be emptied meanwhile."""
        return iter(list(self._by_origin.items()))

    def numbers(self) -> set[int]:
        """The campaigns."""
        return {origin.campaign.number for origin in self._by_origin}

    def add(self, held: Held) -> None:
        """Keep it, by its offset alone where there is no room for more."""
        queue = self._by_origin.setdefault(held.origin, Queue())
        if len(queue.ready) >= self._most:
            queue.parked.append(held.offset)
        else:
            self.put_back(held)

    def put_back(self, held: Held) -> None:
        """Keep one that was to go. It comes last: the next probe of its route is another one."""
        self._by_origin.setdefault(held.origin, Queue()).ready.append(held)
        self._size += len(held.value)

    def pop(self, origin: Origin) -> Held:
        """The next of the ready ones of a queue, which is forgotten with its last message."""
        queue = self._by_origin[origin]
        held = queue.ready.popleft()
        self._size -= len(held.value)
        if queue.is_empty:
            del self._by_origin[origin]
        return held

    def wanted(self) -> list[int]:
        """The parked ones that are to be read again now; each is named once."""
        wanted = list[int]()
        for origin, queue in self:
            if len(queue.ready) < min(_FEW_READY, self._most):
                count = min(self._most - len(queue.ready), len(queue.parked))
                wanted += (queue.parked.popleft() for _ in range(count))
                if queue.is_empty:
                    del self._by_origin[origin]
        return wanted

    @property
    def _most(self) -> int:
        """How many messages of a queue are kept in memory."""
        return MOST_READY if self._size < MOST_BYTES else LEAST_READY
