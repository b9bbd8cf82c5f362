"""How long sending and counting stand still while a part is cut off, and after it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import httpx

from tests.e2e.checker import sent_messages
from tests.faults.scene import Scene

_AFTERWARDS = 90  # seconds that are looked at
_COUNTS = ("deliveredCount", "openedCount", "clickedCount")


class Cut(NamedTuple):
    """Of one part, in seconds of the wall clock."""

    of: str
    begun: float
    ended: float


@dataclass
class Watch:
    """The cuts of a scene, and the moments at which somebody who asks the API saw counts move."""

    cuts: list[Cut] = field(default_factory=list)
    counted: list[float] = field(default_factory=list)

    def figures(self, of: Scene) -> dict[str, dict[str, tuple[float, float]]]:
        """By cut, the seconds that sending and counting stood still while it lasted and afterwards.
        When messages were sent is what the raw log says.
        """
        sent = [message.at for message in sent_messages(of.site.settings)]
        return {
            cut.of: {
                "sending": (_longest(sent, cut.begun, cut.ended), _afterwards(sent, cut)),
                "counting": (
                    _longest(self.counted, cut.begun, cut.ended),
                    _afterwards(self.counted, cut),
                ),
            }
            for cut in self.cuts
        }


@asynccontextmanager
async def watched(of: Scene) -> AsyncIterator[Watch]:
    """Looks five times a second."""
    watch = Watch()
    looking = [asyncio.create_task(_look(of, number, watch)) for number in range(len(of.sendings))]
    try:
        yield watch
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


async def _look(of: Scene, number: int, watch: Watch) -> None:
    last = 0
    while True:
        with suppress(AssertionError, httpx.HTTPError):
            stats = await of.sendings[number].stats()
            counted = sum(stats[name] for name in _COUNTS)
            if counted > last:
                watch.counted.append(time.time())
            last = counted
        await asyncio.sleep(0.2)


def _afterwards(moments: Sequence[float], cut: Cut) -> float:
    """Until the last of the moments at most: then there was nothing left to do."""
    return _longest(moments, cut.ended, min(cut.ended + _AFTERWARDS, max(moments)))


def _longest(moments: Iterable[float], begun: float, ended: float) -> float:
    """The longest time without a moment."""
    edges = [begun, *sorted(at for at in moments if begun < at < ended), ended]
    return round(max(later - earlier for earlier, later in pairwise(edges)), 1)
