"""Reports that wait for their time, and how far the messages they come from have been dealt
with.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from typing import NamedTuple

from aiokafka import TopicPartition

_WIDTH = 0.05  # seconds; reports within it leave together


class Fetched:
    """A run of messages of one partition: `left` reports of them have not been acknowledged yet."""

    __slots__ = ("left", "offset", "partition")

    def __init__(self, partition: TopicPartition, offset: int) -> None:
        self.partition, self.offset, self.left = partition, offset, 0


class Report(NamedTuple):
    """One record of `pipeline.events.v1`, to be written to `partition`."""

    partition: int
    key: bytes
    value: bytes
    source: Fetched


class Schedule:
    """The reports that wait. Times are Unix seconds. A kill forgets all of them; the committed
    positions then lead back to every message with a report outstanding.
    """

    def __init__(self) -> None:
        self.pending = 0
        self._slots: dict[int, list[Report]] = {}
        self._order: list[int] = []
        self._runs: defaultdict[TopicPartition, deque[Fetched]] = defaultdict(deque)

    def follow(self, run: Fetched) -> None:
        """Remember the run, whose reports have been added; runs of a partition come in order."""
        self._runs[run.partition].append(run)

    def add(self, at: float, report: Report) -> None:
        slot = int(at / _WIDTH)
        if (waiting := self._slots.get(slot)) is None:
            waiting = self._slots[slot] = []
            heapq.heappush(self._order, slot)
        waiting.append(report)
        report.source.left += 1
        self.pending += 1

    def due(self, now: float) -> list[Report]:
        """Take all reports that are due."""
        found: list[Report] = []
        while self._order and self._order[0] * _WIDTH <= now:
            found += self._slots.pop(heapq.heappop(self._order))
        self.pending -= len(found)
        return found

    def seconds_to_next(self, now: float) -> float | None:
        """None when nothing waits."""
        return max(0.0, self._order[0] * _WIDTH - now) if self._order else None

    def settled(self) -> dict[TopicPartition, int]:
        """The new positions of partitions: before them no message has a report outstanding. Each is
        answered once.
        """
        positions = {}
        for partition, runs in self._runs.items():
            while runs and not runs[0].left:
                positions[partition] = runs.popleft().offset
        return positions

    def forget(self) -> None:
        """After a rebalance: positions of earlier runs mean nothing any more; their reports still
        leave.
        """
        self._runs.clear()
