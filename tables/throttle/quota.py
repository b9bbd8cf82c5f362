"""The quota: messages that each tenant and campaign has sent in the last hour and day, in Faust
windowed tables, and how many more may be granted.

Usage = messages *sent* in the windows that touch the last hour (day) or lie later, + messages
*granted and not yet sent*. A grant of n needs usage + n <= limit. Proof that no sliding hour can
exceed its limit, whenever granted messages are sent: take any hour and the message of it that was
granted last. When that was decided, every other message of the hour was either outstanding, or
counted in a window that touches the hour before the decision or is later.

That holds by the time that messages carry, however clocks differ: a message is counted no earlier
than it is dated, and dated no earlier than the decision that let it go (`Transaction.not_before`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from streams.records.sending import Limits
from streams.settings import Settings

# Windows are numbered from here, since Faust counts them in 32 bits: with an hour of 10 s, from
# 1970 on, that would be too few.
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
UNLIMITED = 1 << 62


class Windowing(NamedTuple):
    """A windowed table: its name, the windows of a period, and the seconds of the table's own time
    in each of them.
    """

    table: str
    windows: int
    width: int

    def window(self, start: float) -> int:
        """The number of the window that begins at `start`."""
        return round(start / self.width)


HOURLY = Windowing("minutes", 60, 60)
DAILY = Windowing("quarters", 96, 900)


def quota_key(tenant_id: str, number: int | None = None) -> str:
    """The key of a tenant in these tables, or of one of its campaigns."""
    return tenant_id if number is None else f"{tenant_id}\0{number}"


def is_campaign_key(key: str) -> bool:
    """Whether `quota_key` has made the key for a campaign."""
    return "\0" in key


@dataclass(frozen=True)
class Period:
    """A quota's hour or day, cut into equal windows; `windows` + 1 of them touch any sliding one,
    so a limit errs by 1/`windows` below.
    """

    length: timedelta
    windows: int

    def index(self, at: datetime) -> int:
        """The number of the window that `at` lies in; exact, also when an hour is shortened to an
        odd length.
        """
        return (at - _EPOCH) * self.windows // self.length

    def oldest(self, now: datetime) -> int:
        """The first window that still counts."""
        return self.index(now) - self.windows

    def leaves(self, index: int) -> datetime:
        """From when on a window no longer counts."""
        return (
            _EPOCH
            + self.length * (index + self.windows + 1) / self.windows
            + timedelta(microseconds=1)
        )


class Allowance(NamedTuple):
    """How many messages may be granted (`room`), and if none, the earliest time for one. It follows
    from `used` messages of `limit`.
    """

    room: int = UNLIMITED
    until: datetime | None = None
    used: int = 0
    limit: int = UNLIMITED

    def minus(self, granted: int) -> Allowance:
        return self if self.room == UNLIMITED else self._replace(room=self.room - granted)


Counts = Sequence[tuple[int, int]]  # (window, messages sent in it), oldest first


def allow(
    limit: int | None, counts: Counts, outstanding: int, now: datetime, period: Period
) -> Allowance:
    """The allowance of one limit. Outstanding messages count in full, and for `until` as if they
    were sent now.
    """
    if limit is None:
        return Allowance()
    used = sum(sent for _, sent in counts)
    room = limit - used - outstanding
    until = None
    if room < 1:
        excess = 1 - room
        for index, sent in (*counts, (period.index(now), outstanding)):
            excess -= sent
            if excess <= 0:
                until = period.leaves(index)
                break
    return Allowance(max(room, 0), until, used, limit)


def tightest(one: Allowance, other: Allowance) -> Allowance:
    """Both hold: the smaller room; of two that have none, the one that waits longer (an unknown
    time is longest).
    """
    if one.room or other.room:
        return min(one, other, key=lambda allowance: allowance.room)
    return max(
        one, other, key=lambda allowance: (allowance.until is None, allowance.until or _EPOCH)
    )


class Windows:
    """One windowed table that counts messages per key and window, per source partition of the
    throttle.

    The table's own time runs faster than the clock when an hour is shortened: window n is always
    the one that begins at n x width, a whole number, so that no rounding can split it.
    """

    def __init__(self, app: Any, windowing: Windowing, length: timedelta) -> None:
        self.period, self._width = Period(length, windowing.windows), windowing.width
        options = {"key_type": str, "value_type": int, "default": int}
        table = app.Table(windowing.table, partitions=app.conf.topic_partitions, **options)
        # A late clock may count up to an hour ahead of `now` (Clock), so what still counts may be
        # two periods older than the latest window.
        self._table = table.tumbling(self._width, (2 * windowing.windows + 2) * self._width)
        # the same for all keys at one moment
        self._bounds = (0, 0)
        self._ranges: list[tuple[int, tuple[float, float]]] = []

    def add(self, key: str, messages: int, at: datetime) -> None:
        """Count messages of a key in the window of `at`."""
        window = self._table.relative_to(float(self.period.index(at) * self._width))
        window[key] += messages

    def counts(self, key: str, now: datetime, latest: datetime) -> Counts:
        """The windows of a key that count at `now`. About 6 us an hour, where reading each by
        `relative_to` takes 200.
        """
        get = self._table.table.data.get
        return [
            (index, sent)
            for index, window in self._counting(now, latest)
            if (sent := get((key, window)))
        ]

    def _counting(
        self, now: datetime, latest: datetime
    ) -> Sequence[tuple[int, tuple[float, float]]]:
        bounds = self.period.oldest(now), max(self.period.index(now), self.period.index(latest)) + 1
        if bounds != self._bounds:
            current = self._table.table.window.current
            self._bounds = bounds
            self._ranges = [(at, current(float(at * self._width))) for at in range(*bounds)]
        return self._ranges


class Quota:
    """The tables `minutes` (hourly limits) and `quarters` (daily limits)."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self.hours = Windows(app, HOURLY, settings.hour)
        self.days = Windows(app, DAILY, settings.day)

    def count(self, key: str, sent: int, at: datetime) -> None:
        """Messages of a key were sent at this time; counted for unlimited keys too, so that a new
        limit includes messages from before it.
        """
        if sent:
            self.hours.add(key, sent, at)
            self.days.add(key, sent, at)

    def allowance(
        self, key: str, limits: Limits, outstanding: int, now: datetime, latest: datetime
    ) -> Allowance:
        """The allowance of both limits of a key together; windows without a limit are not read."""
        allowances = (
            allow(limit, windows.counts(key, now, latest), outstanding, now, windows.period)
            for limit, windows in ((limits.per_hour, self.hours), (limits.per_day, self.days))
            if limit is not None
        )
        result = Allowance()
        for allowance in allowances:
            result = tightest(result, allowance)
        return result
