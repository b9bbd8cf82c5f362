"""The messages of one sender that may go: some in memory, as they lie in Kafka, and the others by
their offsets.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import msgspec

from agents.delivery.choice import Origin
from streams.contracts.values.domains import domain_of

#: Of one sender, kept in memory; others are read again.
MOST_READY, MOST_BYTES = 256, 8 << 20
_FEW_READY = 64  # when so few are left, parked ones are read again


class _Sender(msgspec.Struct, rename="camel"):
    email: str = ""
    sender_id: str = ""


class Head(msgspec.Struct, rename="camel"):
    """The part of a message that is read before it can go."""

    message_id: str
    tenant_id: str
    channel: str
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    sender: _Sender | None = msgspec.field(default=None, name="from")


_decode = msgspec.json.Decoder(Head).decode


@dataclass(frozen=True, slots=True)
class Held:
    """A message in memory."""

    offset: int
    value: bytes
    head: Head

    @classmethod
    def of(cls, record: Any) -> Held:
        """Raises msgspec.DecodeError and ValueError for a record that is no message."""
        return cls(record.offset, record.value, _decode(record.value or b""))

    @property
    def origin(self) -> Origin:
        head, sender = self.head, self.head.sender or _Sender()
        name = domain_of(sender.email) if head.channel == "email" else sender.sender_id
        return Origin(head.tenant_id, head.channel, name or "")


@dataclass
class Queue:
    """In the order in which they are to go, but for those that were put back."""

    ready: deque[Held] = field(default_factory=deque)
    parked: deque[int] = field(default_factory=deque)
    _size: int = 0  # bytes of the ready ones

    @property
    def is_empty(self) -> bool:
        return not self.ready and not self.parked

    @property
    def _is_full(self) -> bool:
        return len(self.ready) >= MOST_READY or self._size >= MOST_BYTES

    def add(self, held: Held) -> None:
        """Keep it, by its offset alone where there is no room for more."""
        if self._is_full:
            self.parked.append(held.offset)
        else:
            self.put_back(held)

    def put_back(self, held: Held) -> None:
        """Keep one that was to go. It comes last: the next probe of its route is another one."""
        self.ready.append(held)
        self._size += len(held.value)

    def pop(self) -> Held:
        """The next of the ready ones."""
        held = self.ready.popleft()
        self._size -= len(held.value)
        return held

    def wanted(self) -> list[int]:
        """The parked ones that are to be read again now; each is named once."""
        if len(self.ready) >= _FEW_READY or self._is_full:
            return []
        count = min(MOST_READY - len(self.ready), len(self.parked))
        return [self.parked.popleft() for _ in range(count)]
