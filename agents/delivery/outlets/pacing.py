"""How much a route may be asked to take now: its breaker, its limit per second, and what was
reserved of its limits per hour and day. Pure: the time is given, in seconds of one clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from streams.records.sending import WayReason

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0  # seconds
_FEW_RESERVED, _MOST_RESERVED = 10, 2_000  # messages, four times a second
_BURST = 0.1  # seconds that a limit per second may be ahead of an even pace


class Way(NamedTuple):
    """Why messages cannot leave by a route now, if so, and until when, if that is known."""

    reason: WayReason | None = None
    until: datetime | None = None


class Breaker:
    """Stops the hand-offs of a route that cannot take any. After each pause one message is the
    probe; a failed one doubles the pause, and one that is taken ends it.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0  # when the next probe may go

    def is_open(self) -> bool:
        """Whether the last thing known of the route is a failure."""
        return self.failures > 0

    def most(self, now: float, otherwise: int) -> int:
        """How many messages may be on their way at once: none, the probe, or as many as
        `otherwise`.
        """
        if not self.failures:
            return otherwise
        return 1 if now >= self.until else 0

    def failed(self, now: float, pause: float = 0.0) -> bool:
        """Note a failure of the route, whose pause is `pause` at least; False for one more of those
        that were on their way when it began.
        """
        if now < self.until:
            self.until = max(self.until, now + pause)
            return False
        doubled = _FIRST_PAUSE * 2 ** min(self.failures, 20)
        self.failures += 1
        self.until = now + max(pause, min(doubled, _LONGEST_PAUSE))
        return True

    def succeeded(self) -> bool:
        """Note that the route works; False where that was known."""
        was_open, self.failures, self.until = self.is_open(), 0, 0.0
        return was_open


class Pace:
    """So many messages a second, evenly: the generic cell rate algorithm (ITU-T I.371)."""

    def __init__(self, per_second: float | None) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._ahead = max(_BURST, self._interval)
        self._next = 0.0  # the time at which an even pace would send the next one

    def room(self, now: float, most: int) -> int:
        """How many of `most` may go now."""
        if not self._interval:
            return most
        behind = now + self._ahead - max(self._next, now)
        return max(0, min(most, int(behind / self._interval + 1e-6)))

    def took(self, now: float, count: int) -> None:
        """Note that so many go."""
        self._next = max(self._next, now) + count * self._interval


class Budget:
    """Messages that were reserved, and may be handed over until they expire."""

    def __init__(self) -> None:
        self.left = 0
        self.expires, self._used, self._is_asked = 0.0, 0, False
        self._rests_until = 0.0

    def room(self, now: float, most: int) -> int:
        """How many of `most` may go now."""
        left = self.left if now < self.expires else 0
        self._is_asked |= left < most
        return min(most, left)

    def took(self, count: int) -> None:
        """Note that so many go."""
        self.left -= count
        self._used += count

    def is_over(self, now: float) -> bool:
        """Whether something is to be reserved, or given back, now."""
        is_wanted = self._is_asked and now >= self._rests_until
        return is_wanted or (self.left > 0 and now >= self.expires)

    def wanted(self) -> int:
        """How many to reserve: twice of what went since the last time, and a few."""
        return min(_MOST_RESERVED, max(_FEW_RESERVED, 2 * self._used)) if self._is_asked else 0

    def renew(self, messages: int, expires: float) -> None:
        """Take what was reserved; what was left before is given back."""
        self.left, self.expires, self._used, self._is_asked = messages, expires, 0, False

    def rest(self, until: float) -> None:
        """Reserve nothing before then: a limit is reached."""
        self._rests_until = until
