"""Whether something that a run has measured again and again levels off. Pure.

The first third of the run is for filling up: caches, the time that topics keep, the work of
cleaners. What is the same afterwards has the same median in the middle third and in the last one,
however it goes up and down meanwhile; what grows for ever has a higher one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

_ENOUGH = 8  # samples in a third


@dataclass(frozen=True)
class Allowed:
    """By how much the last third may be above the middle one: a `share` of it, and `more`, for what
    comes in pieces.
    """

    share: float
    more: float


@dataclass(frozen=True)
class Level:
    """The first value, the medians of the two later thirds, and what is wrong; "" for nothing."""

    start: float
    middle: float
    last: float
    complaint: str = ""


Samples = Sequence[tuple[float, float]]  # (seconds since the start, value)


def level(samples: Samples, length: float, allowed: Allowed) -> Level:
    """The level of what was sampled in a run of so many seconds. Too few samples are a complaint,
    too: nothing is shown by them.
    """
    middle = [value for at, value in samples if length / 3 <= at < length * 2 / 3]
    last = [value for at, value in samples if length * 2 / 3 <= at <= length]
    start = samples[0][1] if samples else 0.0
    if min(len(middle), len(last)) < _ENOUGH:
        return Level(start, 0, 0, f"{len(middle)} and {len(last)} samples say nothing")
    found = Level(start, median(middle), median(last))
    most = found.middle * (1 + allowed.share) + allowed.more
    if found.last <= most:
        return found
    return Level(
        start, found.middle, found.last, f"grows: {found.last:,.0f} after {found.middle:,.0f}"
    )


def complaints(levels: Mapping[str, Level]) -> list[str]:
    """A sentence for each of them that does not level off."""
    return [f"{name} {found.complaint}" for name, found in levels.items() if found.complaint]
