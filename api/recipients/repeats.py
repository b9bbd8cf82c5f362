"""Opens and clicks that say nothing new: a picture that is loaded 500 times is not 500 records."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

_KEPT = 600  # seconds after which the same event is reported again
_MOST = 50_000  # events in memory; of one that is forgotten a repeat is reported


class _Reported(NamedTuple):
    """When an event was first and last reported, in seconds of the wall clock. `is_settled`: no
    later one of this kind can count as another.
    """

    first: int
    last: int
    is_settled: bool


class Repeats:
    """Remembers for ten minutes what has been reported: (message, kind, link, by a machine?).

    An event that comes so soon after sending that it is a machine's (`window`) may be followed by a
    person's. So until the window is over, and once after it, an event a second is reported: within
    one second all count alike. Then nothing new can follow, and the first event of a person is
    never left out.
    """

    def __init__(
        self, window: timedelta, *, most: int = _MOST, clock: Callable[[], float] = time.time
    ) -> None:
        self._window, self._most, self._clock = window.total_seconds(), most, clock
        self._known = OrderedDict[object, _Reported]()

    def is_news(self, event: object) -> bool:
        """Whether the event has to be reported; it is then taken to be, until `forget`."""
        now = int(self._clock())
        known = self._known.get(event)
        if known is None or not 0 <= now - known.first < _KEPT:
            self._remember(event, _Reported(now, now, False))
            return True
        if known.is_settled or now == known.last:
            return False
        # a second more, because the time of sending is rounded, too
        is_settled = now > known.first + self._window + 1
        self._remember(event, _Reported(known.first, now, is_settled))
        return True

    def forget(self, event: object) -> None:
        """It could not be reported: the next one is news."""
        self._known.pop(event, None)

    def _remember(self, event: object, reported: _Reported) -> None:
        self._known[event] = reported
        self._known.move_to_end(event)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
