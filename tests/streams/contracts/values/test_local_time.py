"""A local time is one instant, in every zone and on every day, and it is the one that people
expect.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.contracts.values.local_time import resolved, shown

_ZONES = sorted(available_timezones() - {"localtime", "Factory"})
_zone = st.sampled_from(_ZONES)
_time = st.datetimes(datetime(1850, 1, 1), datetime(2090, 1, 1))


def clock(instant: datetime, zone: str) -> datetime:
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("Europe/Berlin", "2026-01-28T09:00:00", "2026-01-28T08:00:00"),
        ("Europe/Berlin", "2026-03-29T01:59:59", "2026-03-29T00:59:59"),
        ("Europe/Berlin", "2026-03-29T02:00:00", "2026-03-29T01:00:00"),  # the gap 02:00 to 03:00
        ("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-29T02:59:59.999999", "2026-03-29T01:00:00"),
        ("Europe/Berlin", "2026-03-29T03:00:00", "2026-03-29T01:00:00"),
        (
            "Europe/Berlin",
            "2026-10-25T02:30:00",
            "2026-10-25T00:30:00",
        ),  # twice; the earlier, in summer time
        ("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00"),
        ("America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:00:00"),
        ("America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00"),
        (
            "Australia/Lord_Howe",
            "2026-10-04T02:10:00",
            "2026-10-03T15:30:00",
        ),  # clocks move by half an hour
        ("Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T14:45:00"),
        (
            "America/Sao_Paulo",
            "2018-11-04T00:00:00",
            "2018-11-04T03:00:00",
        ),  # the gap begins at midnight
        ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T10:00:00"),  # a day that never was
        ("Pacific/Kwajalein", "1993-08-21T18:00:00", "1993-08-21T12:00:00"),
        ("Asia/Kathmandu", "2026-06-01T00:00:00", "2026-05-31T18:15:00"),
        ("UTC", "2026-06-01T00:00:00", "2026-06-01T00:00:00"),
    ],
)
def test_a_local_time_is_the_instant_of_the_documentation(
    zone: str, local: str, expected: str
) -> None:
    assert resolved(datetime.fromisoformat(local), zone) == instant(expected)


@given(_time, _zone)
@example(datetime(2011, 12, 30, 12), "Pacific/Apia")
@example(datetime(2026, 4, 5, 1, 45), "Australia/Lord_Howe")
@settings(max_examples=500)
def test_clocks_show_the_local_time_at_its_instant_or_have_just_jumped_over_it(
    local: datetime, zone: str
) -> None:
    found = resolved(local, zone)
    if clock(found, zone) == local:
        return
    assert clock(found, zone) > local
    assert (
        clock(found - timedelta(microseconds=1), zone) < local
    )  # so it is the first instant after the gap


@given(_time, _zone)
@example(datetime(2026, 10, 25, 0, 30), "Europe/Berlin")
@settings(max_examples=500)
def test_no_earlier_instant_has_the_same_local_time(utc: datetime, zone: str) -> None:
    there = utc.replace(tzinfo=UTC)
    found = resolved(clock(there, zone), zone)
    assert found <= there
    assert clock(found, zone) == clock(there, zone)
    if (
        found < there
    ):  # the two readings of a time that exists twice; a day at most, when the date line moves
        assert there - found <= timedelta(days=1)


@given(_time, _time, _zone)
def test_later_local_times_are_never_earlier_instants_except_where_clocks_were_put_back(
    one: datetime, other: datetime, zone: str
) -> None:
    early, late = sorted((one, other))
    assert resolved(late, zone) - resolved(early, zone) >= late - early - timedelta(days=1, hours=2)
    assert shown(resolved(one, zone), zone)[4] == "-"


@given(st.datetimes(timezones=st.timezones()), _zone)
def test_a_time_with_an_offset_does_not_depend_on_the_zone(time: datetime, zone: str) -> None:
    try:
        assert resolved(time, zone) == time.astimezone(UTC)
    except ValueError as error:
        assert "9999" in str(error)


@pytest.mark.parametrize(
    ("text", "zone"),
    [("0001-01-01T00:00:00", "Asia/Tokyo"), ("9999-12-31T23:00:00", "America/New_York")],
)
def test_a_time_outside_the_calendar_is_refused(text: str, zone: str) -> None:
    with pytest.raises(ValueError, match="years 1 and 9999"):
        resolved(datetime.fromisoformat(text), zone)


def test_every_second_that_clocks_skip_is_the_first_instant_after_the_gap() -> None:
    gap, after = datetime(2026, 3, 29, 2), instant("2026-03-29T01:00:00")
    skipped = (gap + timedelta(seconds=second) for second in range(3600))
    assert {resolved(time, "Europe/Berlin") for time in skipped} == {after}


@pytest.mark.parametrize(
    ("local", "zone", "expected"),
    [
        ("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:00:00"),
        ("2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00"),
        ("2026-10-04T02:10:00", "Australia/Lord_Howe", "2026-10-03T15:30:00"),
    ],
)
def test_a_time_that_is_marked_as_the_later_of_two_readings_is_read_like_any_other(
    local: str, zone: str, expected: str
) -> None:
    assert resolved(datetime.fromisoformat(local).replace(fold=1), zone) == instant(expected)


@pytest.mark.parametrize(
    ("time", "zone", "text"),
    [
        ("2026-01-28T08:00:59.999", "Europe/Berlin", "2026-01-28 09:00"),
        ("2026-10-25T00:30:00", "Europe/Berlin", "2026-10-25 02:30"),
        ("2026-10-25T01:30:00", "Europe/Berlin", "2026-10-25 02:30"),  # the same clock, twice
        ("2026-01-28T23:59:00", "UTC", "2026-01-28 23:59"),
    ],
)
def test_an_instant_is_shown_as_clocks_show_it_to_the_minute(
    time: str, zone: str, text: str
) -> None:
    assert shown(instant(time), zone) == text


def test_the_refusal_of_a_time_outside_the_calendar_says_what_would_do() -> None:
    with pytest.raises(ValueError, match=r"^must lie between the years 1 and 9999 in UTC$"):
        resolved(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "UTC")
