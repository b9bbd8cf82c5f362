"""The rule of the soak: a leak that is planted into a series is found, whatever else happens to the
series, and what levels off is not taken for one.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.faults.levels import Allowed, complaints, level
from tests.faults.samples import ALLOWED

_LENGTH, _EVERY = 1800.0, 5.0
Series = Callable[[float], float]


def _samples(series: Series) -> list[tuple[float, float]]:
    times = (step * _EVERY for step in range(round(_LENGTH / _EVERY)))
    return [(at, series(at)) for at in times]


def _filling(at: float, full: float = 100.0) -> float:
    """A cache that is full after a quarter of the run."""
    return full * min(1.0, 0.5 + at / _LENGTH * 2)


def _saw(period: float, height: float = 1.0) -> Series:
    """What a cleaner takes away every `period` seconds."""
    return lambda at: 20 + height * 80 * (at % period) / period


_DICE = random.Random(7)
BOUNDED: dict[str, Series] = {
    "constant": lambda at: 100.0,
    "nothing": lambda at: 0.0,
    "filling up": _filling,
    "noisy": lambda at: 100 + _DICE.uniform(-20, 20),
    "saw-tooth of a minute": _saw(60),
    "saw-tooth of four minutes": _saw(240),
    "filling up, then saw-tooth": lambda at: _filling(at, 50) + _saw(120)(at),
    "falling": lambda at: 200 - at / 20,
    "a spike in the last third": lambda at: 1000.0 if 1500 < at < 1700 else 100.0,
    "a step in the first third": lambda at: 100.0 if at < 500 else 200.0,
}
GROWING: dict[str, Series] = {
    "from nothing": lambda at: at,
    "steadily": lambda at: 100 + 0.1 * at,
    "with noise": lambda at: 100 + 0.1 * at + _DICE.uniform(-20, 20),
    "in steps": lambda at: 100 + 50 * (at // 300),
    "below a saw-tooth": lambda at: _saw(120)(at) + 0.1 * at,
    "faster and faster": lambda at: 100 + (at / 60) ** 2,
    "more slowly all the time": lambda at: 6 * at**0.5,
    "only after half of the run": lambda at: 100 + max(0, at - 900) * 0.2,
}
_RULE = Allowed(0.2, 1.0)


@pytest.mark.parametrize("name", BOUNDED)
def test_what_levels_off_is_not_taken_for_a_leak(name: str) -> None:
    assert level(_samples(BOUNDED[name]), _LENGTH, _RULE).complaint == ""


@pytest.mark.parametrize("name", GROWING)
def test_what_grows_is_found(name: str) -> None:
    found = level(_samples(GROWING[name]), _LENGTH, _RULE)
    assert complaints({name: found, "other": level(_samples(_filling), _LENGTH, _RULE)}) == [
        f"{name} grows: {found.last:,.0f} after {found.middle:,.0f}"
    ]


def test_the_medians_are_those_of_the_thirds() -> None:
    found = level(_samples(lambda at: at), _LENGTH, _RULE)
    assert (found.start, found.middle, found.last) == (0, 897.5, 1497.5)


@pytest.mark.parametrize("end", [0.0, 600.0, 1210.0])
def test_too_few_samples_are_a_complaint(end: float) -> None:
    """A run that could not measure must not pass."""
    samples = [(at, value) for at, value in _samples(lambda at: 100.0) if at < end]
    assert level(samples, _LENGTH, _RULE).complaint.endswith("say nothing")


def test_a_process_that_leaks_a_megabyte_a_minute_is_found() -> None:
    """The smallest leaks that half an hour shows, by what is allowed."""
    leaking = _samples(lambda at: (120 << 20) + at / 60 * (1 << 20))
    assert level(leaking, _LENGTH, ALLOWED["memory"]).complaint.startswith("grows")


def test_a_descriptor_that_is_lost_every_minute_is_found() -> None:
    leaking = _samples(lambda at: 60 + at // 60)
    assert level(leaking, _LENGTH, ALLOWED["open files"]).complaint.startswith("grows")
