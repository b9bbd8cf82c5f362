"""The check that a series never recurs within an hour looks at a few days of the year only. It
finds what a look at every occurrence finds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.contracts.recurrence import (
    YEAR,
    Recurrence,
    check_cron,
    check_spacing,
    check_stretch,
    telling_stretches,
)

_ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # midnight did not exist on the day of the change
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # around Ramadan
    "Africa/Cairo",
    "America/Caracas",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Pacific/Apia",  # left out a whole day in 2011
    "Antarctica/Troll",  # two hours
]
_MINUTES = ["0", "59", "*", "*/30", "0,59", "0,30", "15", "0-1", "5/55"]
_HOURS = ["*", "*/2", "0-23", "9", "0,23", "2,3", "1-3", "0", "23", "3", "1,2"]
_MONTH_DAYS = ["*", "1", "1,31", "*/2", "28-31", "L", "LW", "29", "1-7", "30"]
_MONTHS = ["*", "3", "10", "12", "1,12", "*/3", "2"]
_WEEK_DAYS = ["*", "0", "1-5", "0,6", "FRI#2", "MON#5", "SUNL", "7", "L"]


def _slow(recurrence: Recurrence, start: datetime) -> str:
    """The refusal that a look at every occurrence of the year finds; empty when there is none."""
    first = recurrence.next(start)
    if first is None or first > start + YEAR:
        return "has no occurrence in the year"
    try:
        check_stretch(recurrence, start, start + YEAR)
    except ValueError as error:
        return str(error)
    return ""


def _refusal(recurrence: Recurrence, start: datetime) -> str:
    try:
        check_spacing(recurrence, start)
    except ValueError as error:
        return str(error)
    return ""


def _is_cron(text: str) -> bool:
    try:
        return check_cron(text) == text
    except ValueError:
        return False


_fields = [st.sampled_from(f) for f in (_MINUTES, _HOURS, _MONTH_DAYS, _MONTHS, _WEEK_DAYS)]
_crons = st.tuples(*_fields).map(" ".join).filter(_is_cron)
_ends = st.none() | st.integers(1, 400).map(lambda days: timedelta(days=days))
_instants = st.datetimes(datetime(2009, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
_SPRING = datetime(2026, 3, 29, 0, 40, tzinfo=UTC)  # 01:40 in Berlin, the day of the change
_AUTUMN = datetime(2026, 10, 25, 0, 40, tzinfo=UTC)  # 02:40 for the first time


@given(_crons, st.sampled_from(_ZONES), _instants, _ends)
@example("30 2,3 * * *", "Europe/Berlin", datetime(2026, 11, 25, tzinfo=UTC), None)
@example("0,30 9 * * *", "UTC", datetime(2026, 11, 25, 9, 10, tzinfo=UTC), None)
@example("0,30 9 25 11 *", "UTC", datetime(2026, 11, 25, 9, 10, tzinfo=UTC), None)
@example("0,59 0,23 1,31 1,12 *", "UTC", datetime(2026, 1, 2, tzinfo=UTC), None)
@example("0,59 0,23 29,30 3 *", "Europe/Berlin", datetime(2026, 3, 1, tzinfo=UTC), None)
@example("0-1 2 29 3 *", "Europe/Berlin", datetime(2026, 3, 1, tzinfo=UTC), None)
@example("0 0-23 * * *", "Pacific/Apia", datetime(2011, 12, 1, tzinfo=UTC), None)
@example("0 0-23 * * *", "Australia/Lord_Howe", datetime(2026, 4, 30, tzinfo=UTC), None)
@example("0 1-3 * * *", "Europe/Berlin", _SPRING, None)
@example("0 * * * *", "Europe/Berlin", _AUTUMN, None)
@example("0,30 2 * * *", "Europe/Berlin", _AUTUMN, timedelta(days=1))
@settings(max_examples=300)
def test_a_few_days_tell_what_the_whole_year_tells(
    cron: str, zone: str, start: datetime, end: timedelta | None
) -> None:
    recurrence = Recurrence(cron, zone, None if end is None else start + end)
    slow, found = _slow(recurrence, start), _refusal(recurrence, start)
    assert found.startswith(slow) and bool(found) == bool(slow)


@given(_crons, st.sampled_from(_ZONES), _instants)
@settings(max_examples=100)
def test_the_stretches_are_short_and_in_order(cron: str, zone: str, start: datetime) -> None:
    stretches = telling_stretches(Recurrence(cron, zone), start, start + YEAR)
    assert sum((end - begin for begin, end in stretches), timedelta(0)) <= timedelta(days=30)
    points = [point for stretch in stretches for point in stretch]
    assert points == sorted(points)
    assert points[0] == start and points[-1] <= start + YEAR


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_series_every_hour_is_looked_at_for_a_fortnight_and_not_for_a_year(zone: str) -> None:
    start = datetime(2026, 11, 25, 12, tzinfo=UTC)
    stretches = telling_stretches(Recurrence("0 * * * *", zone), start, start + YEAR)
    assert sum((end - begin for begin, end in stretches), timedelta(0)) < timedelta(days=14)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("cron", ["0 9 * * *", "0 0-23 * * *", "0 9 1 1 *"])
def test_the_end_of_the_calendar_is_no_failure(cron: str, zone: str) -> None:
    for start in (datetime(9999, 12, 31, 23, tzinfo=UTC), datetime(9999, 6, 1, tzinfo=UTC)):
        refusal = _refusal(Recurrence(cron, zone), start)
        assert not refusal or refusal.startswith("has no occurrence in the year after 9999-")
