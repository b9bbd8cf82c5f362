"""The times at which the recipients of a shard were sent to, to recognise an open or a click that
came too soon to be a person's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping

import msgspec
from pyroaring import BitMap

from streams.records.facts import Group, pack, unpack

# Seconds in which something was sent, of one shard. An unthrottled campaign sends a shard's 65,536
# in a few; a throttled one is granted something about once a minute, so these are the last eight
# hours of it. One takes 20 to 40 bytes.
MOST_SECONDS = 512


class SentTimes:
    """Unix second -> the recipients sent to in it, for the last `MOST_SECONDS` such seconds.

    A sent fact is in the log before any report of its message, and both are read in that order, so
    a report meets the time it is compared with, however late any projection is. A report that
    arrives after its send time was dropped is counted as reported (person or machine); a repeat of
    an earlier report keeps that report's classification.
    """

    __slots__ = ("_forgotten", "_order", "_packed", "_seconds")

    def __init__(self, stored: Mapping[int, bytes] | None = None, forgotten: int = -1) -> None:
        self._packed = dict(stored or {})  # the seconds that have not changed since, as stored
        self._seconds = {
            second: BitMap.deserialize(recipients) for second, recipients in self._packed.items()
        }
        self._order = sorted(self._seconds)
        self._forgotten = forgotten  # the latest second that was dropped

    def __bool__(self) -> bool:
        return bool(self._seconds)

    def stored(self) -> tuple[dict[int, bytes], int]:
        """The two arguments that make equal SentTimes."""
        for second in self._order:
            if second not in self._packed:
                recipients = self._seconds[second]
                recipients.run_optimize()
                self._packed[second] = recipients.serialize()
        return {second: self._packed[second] for second in self._order}, self._forgotten

    def note(self, sent: Group, recipients: BitMap, base: int) -> None:
        """Note the recipients of a sent group as sent to, for the first time."""
        seconds = unpack(sent.seconds)
        if (first := min(seconds)) == max(seconds):
            self._add(base + first, recipients)
            return
        by_second: dict[int, list[int]] = {}
        for ordinal, second in zip(unpack(sent.ordinals), seconds, strict=True):
            by_second.setdefault(base + second, []).append(ordinal)
        for second, ordinals in sorted(by_second.items()):
            self._add(second, BitMap(ordinals))

    def _add(self, second: int, recipients: BitMap) -> None:
        if (known := self._seconds.get(second)) is None:
            if second <= self._forgotten:
                return
            insort(self._order, second)
        self._seconds[second] = recipients.copy() if known is None else known | recipients
        self._packed.pop(second, None)
        while len(self._order) > MOST_SECONDS:
            self._forgotten = self._order.pop(0)
            del self._seconds[self._forgotten]
            self._packed.pop(self._forgotten, None)

    def split(
        self, group: Group, recipients: BitMap, base: int, window: int, known: BitMap
    ) -> tuple[Group | None, Group | None]:
        """The reports of people, and those of machines: within `window` seconds of sending, before
        or after it, since clocks differ.

        `recipients` are those of the group; `known` are recipients with an earlier report that was
        classified as a machine's. About 0.1 us a report at most.
        """
        seconds = unpack(group.seconds)
        low, high = base + min(seconds) - window, base + max(seconds) + window
        near = self._order[bisect_left(self._order, low) : bisect_right(self._order, high)]
        sent = {
            ordinal: second - base
            for second in near
            for ordinal in self._seconds[second] & recipients
        }
        old = self._lost(recipients & known) if low <= self._forgotten else BitMap()
        if not sent and not old:
            return group, None
        ordinals, until = unpack(group.ordinals), self._forgotten + window - base
        early = [
            abs(second - sent[ordinal]) <= window
            if ordinal in sent
            else second <= until and ordinal in old
            for ordinal, second in zip(ordinals, seconds, strict=True)
        ]
        if not any(early):
            return group, None
        if all(early):
            return None, group
        return _where(group, [not is_early for is_early in early]), _where(group, early)

    def _lost(self, recipients: BitMap) -> BitMap:
        """The recipients among them whose send time was dropped."""
        return (
            recipients - BitMap.union(BitMap(), *self._seconds.values())
            if recipients
            else recipients
        )


def _where(group: Group, wanted: list[bool]) -> Group:
    pairs = zip(unpack(group.ordinals), unpack(group.seconds), wanted, strict=True)
    ordinals, seconds = zip(
        *((ordinal, second) for ordinal, second, is_wanted in pairs if is_wanted), strict=True
    )
    return msgspec.structs.replace(group, ordinals=pack(ordinals), seconds=pack(seconds))
