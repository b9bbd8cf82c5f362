"""The journal of one partition: its open messages by offset, and how far each is. Pure.

An open message is *waiting* (read, and not handed over), *in flight* (handed over, or about to be,
and not answered), *deferred* (to be handed over again at an instant) or *held* (for a person). The
state topic has one row for `BLOCK` offsets: a bit for each waiting one, twelve bytes for each of
the others, among them waiting ones of which there is more to say.

`fly`, `wait`, `defer`, `hold` and `settle` answer by how much the number of deferred and held
messages changes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from streams.exactly_once.state_rows import strictly

BLOCK = 1_024  # offsets
_ENTRY = struct.Struct("<HHII")  # place in the block, tries, second of Unix time, route
_MOST_TRIES = 0xFFFF
_LATEST = 0xFFFFFFFF
_AT_ONCE, _HELD = 1, 2  # the seconds at which waiting and held messages are due


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the state: `waiting` is a bitmap, the lowest offset its lowest bit; `others` holds
    entries. One that is due at second 0 is in flight.
    """

    waiting: bytes = b""
    others: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = strictly(msgspec.msgpack.Decoder(Row).decode, "the journal of delivery")


class Entry(NamedTuple):
    """A message in flight (`due` 0), waiting (1), held (2) or deferred until `due`, a second of
    Unix time.
    `tries`: how many hand-offs a server has put off. `route`: the mark of the one route that may
    have it already, 0 if none has.
    """

    tries: int
    due: int
    route: int = 0


_WAITING = Entry(0, _AT_ONCE)


@dataclass
class _Block:
    waiting: int = 0  # a bitmap
    others: dict[int, Entry] = field(default_factory=dict)

    def row(self, start: int) -> bytes | None:
        if not self.waiting and not self.others:
            return None
        bits = self.waiting.to_bytes((self.waiting.bit_length() + 7) // 8, "little")
        entries = (
            _ENTRY.pack(offset - start, *entry) for offset, entry in sorted(self.others.items())
        )
        return _encode(Row(bits, b"".join(entries)))


class Journal:
    """The open messages. Every other one below the position was settled, or is not ours."""

    def __init__(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        """Raises NewerStateError and msgspec.DecodeError for rows that this version cannot read."""
        self._blocks: dict[int, _Block] = {}
        self._changed: set[int] = set()
        self._count = 0
        for key, value in (rows or {}).items():
            number, row = int(key), _decode(value)
            block = self._blocks[number] = _Block(int.from_bytes(row.waiting, "little"))
            for place, *entry in _ENTRY.iter_unpack(row.others):
                block.others[number * BLOCK + place] = Entry(*entry)
            self._count += block.waiting.bit_count() + len(block.others)

    def __len__(self) -> int:
        return self._count

    def open(self, offset: int) -> None:
        """A message was read. A repeat changes nothing."""
        if not self.is_open(offset):
            self._touched(offset).waiting |= 1 << offset % BLOCK
            self._count += 1

    def fly(self, offset: int, route: int) -> int:
        """An open message is about to be handed to a route, by its mark."""
        return self._set(offset, Entry(self.tries(offset), 0, route))

    def wait(self, offset: int, route: int = 0) -> int:
        """An open message is to be handed over again, by no fault of its own."""
        if (tries := self.tries(offset)) or route:
            return self._set(offset, Entry(tries, _AT_ONCE, route))
        block = self._touched(offset)
        block.others.pop(offset, None)
        block.waiting |= 1 << offset % BLOCK
        return 0  # it was in flight, or waiting

    def defer(self, offset: int, due: int, route: int = 0) -> int:
        """A server has put an open message off."""
        tries = min(self.tries(offset) + 1, _MOST_TRIES)
        return self._set(offset, Entry(tries, min(max(due, _HELD + 1), _LATEST), route))

    def hold(self, offset: int, route: int) -> int:
        """A person is to decide about an open message, which this route may have."""
        return self._set(offset, Entry(self.tries(offset), _HELD, route))

    def is_held(self, offset: int) -> bool:
        """Whether a person is to decide about the message."""
        return self._entry(offset).due == _HELD

    def settle(self, offset: int) -> int:
        """A message is done. A repeat changes nothing."""
        if not self.is_open(offset):
            return 0
        block = self._touched(offset)
        block.waiting &= ~(1 << offset % BLOCK)
        self._count -= 1
        return -_is_deferred(block.others.pop(offset, None))

    def is_open(self, offset: int) -> bool:
        """Whether the message is not settled."""
        block = self._blocks.get(offset // BLOCK)
        return block is not None and (
            bool(block.waiting >> offset % BLOCK & 1) or offset in block.others
        )

    def tries(self, offset: int) -> int:
        """How many hand-offs of the message a server has put off."""
        return self._entry(offset).tries

    def route(self, offset: int) -> int:
        """The mark of the route that the message is in flight to, or that may have it; 0: none."""
        return self._entry(offset).route

    def flying(self) -> list[int]:
        """The messages in flight, in order: after a restart those whose fate is in doubt."""
        return sorted(offset for offset, entry in self._others() if not entry.due)

    def deferred(self) -> list[tuple[int, int]]:
        """The deferred messages: when each is due, and its offset; in order."""
        return sorted((entry.due, offset) for offset, entry in self._others() if entry.due)

    def waiting(self) -> list[int]:
        """The waiting messages, in order."""
        return [
            number * BLOCK + place
            for number, block in sorted(self._blocks.items())
            for place in range(block.waiting.bit_length())
            if block.waiting >> place & 1
        ]

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        """The rows that have changed since the last call; None for one that is to be removed."""
        changed = []
        for number in sorted(self._changed):
            row = self._blocks[number].row(number * BLOCK)
            if row is None:
                del self._blocks[number]
            changed.append((b"%d" % number, row))
        self._changed.clear()
        return changed

    def _others(self) -> Iterator[tuple[int, Entry]]:
        for block in self._blocks.values():
            yield from block.others.items()

    def _entry(self, offset: int) -> Entry:
        block = self._blocks.get(offset // BLOCK)
        return _WAITING if block is None else block.others.get(offset, _WAITING)

    def _set(self, offset: int, entry: Entry) -> int:
        block = self._touched(offset)
        block.waiting &= ~(1 << offset % BLOCK)
        before, block.others[offset] = block.others.get(offset), entry
        return _is_deferred(entry) - _is_deferred(before)

    def _touched(self, offset: int) -> _Block:
        number = offset // BLOCK
        self._changed.add(number)
        return self._blocks.setdefault(number, _Block())


def _is_deferred(entry: Entry | None) -> bool:
    return entry is not None and entry.due > _AT_ONCE
