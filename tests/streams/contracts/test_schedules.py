"""A recurring schedule as it is stored, and the plan of its occurrences at every edge of the time
that is looked at.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.contracts.recurrence import (
    LEAST,
    YEAR,
    Plan,
    Recurrence,
    RecurringSchedule,
    check_cron,
    check_spacing,
    check_stretch,
    plan,
)

NINE = datetime(2026, 11, 25, 9, tzinfo=UTC)
HOUR, MOMENT = timedelta(hours=1), timedelta(microseconds=1)
HOURLY = Recurrence("0 * * * *", "UTC")


def planned(
    start: datetime = NINE,
    now: datetime = NINE,
    until: datetime = NINE + HOUR,
    left: int | None = None,
    late: timedelta = HOUR,
) -> Plan:
    return plan(HOURLY, start, now, until, left, late)


def test_the_first_and_the_last_instant_that_is_looked_at_are_part_of_it() -> None:
    assert planned() == Plan((NINE, NINE + HOUR), NINE + 2 * HOUR)
    assert planned(start=NINE + MOMENT) == Plan((NINE + HOUR,), NINE + 2 * HOUR)
    assert planned(until=NINE + HOUR - MOMENT) == Plan((NINE,), NINE + HOUR)


@pytest.mark.parametrize(
    ("behind", "due"),
    [
        (timedelta(0), (NINE,)),
        (timedelta(minutes=59), (NINE,)),
        (2 * HOUR - MOMENT, (NINE + HOUR,)),  # of two that were missed the latest
        (2 * HOUR, (NINE + 2 * HOUR,)),
    ],
)
def test_of_the_missed_occurrences_only_the_latest_is_made(
    behind: timedelta, due: tuple[datetime, ...]
) -> None:
    now = NINE + behind
    assert planned(now=now, until=now, late=24 * HOUR).due == due


@pytest.mark.parametrize(("behind", "is_made"), [(HOUR / 2, True), (HOUR / 2 + MOMENT, False)])
def test_a_missed_occurrence_is_made_while_it_is_not_too_late(
    behind: timedelta, is_made: bool
) -> None:
    now = NINE + behind
    found = planned(now=now, until=now, late=HOUR / 2)
    assert found == Plan((NINE,) if is_made else (), NINE + HOUR)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (None, Plan((NINE, NINE + HOUR, NINE + 2 * HOUR), NINE + 3 * HOUR)),
        (4, Plan((NINE, NINE + HOUR, NINE + 2 * HOUR), NINE + 3 * HOUR)),
        (3, Plan((NINE, NINE + HOUR, NINE + 2 * HOUR), None)),
        (1, Plan((NINE,), None)),
        (0, Plan((), None)),
        (-1, Plan((), None)),  # more were made than the schedule now allows
    ],
)
def test_no_more_occurrences_are_planned_than_are_left(left: int | None, expected: Plan) -> None:
    assert planned(until=NINE + 2 * HOUR, left=left) == expected


def test_the_missed_occurrence_uses_up_one_of_those_that_are_left() -> None:
    assert planned(now=NINE + HOUR / 2, left=1).due == (NINE,)


@pytest.mark.parametrize(
    ("schedule", "zone", "stored"),
    [
        ({"cron": "0 9 * * 1"}, "UTC", {"cron": "0 9 * * 1", "timezone": "UTC"}),
        (
            {"cron": " 0  9 * * MON ", "timezone": "Asia/Tokyo", "maxOccurrences": 3},
            "UTC",
            {"cron": "0 9 * * MON", "timezone": "Asia/Tokyo", "maxOccurrences": 3},
        ),
        (
            {"cron": "0 9 * * *", "endAt": "2026-12-24T18:00:00"},
            "Europe/Berlin",
            {
                "cron": "0 9 * * *",
                "timezone": "Europe/Berlin",
                "endAt": "2026-12-24T17:00:00.000Z",
            },
        ),
        (
            {"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "endAt": "2026-12-24T18:00:00"},
            "Europe/Berlin",
            {"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "endAt": "2026-12-24T09:00:00.000Z"},
        ),
        (
            {"cron": "0 9 * * *", "endAt": "2026-12-24T18:00:00+02:00"},
            "Asia/Tokyo",
            {"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "endAt": "2026-12-24T16:00:00.000Z"},
        ),
    ],
)
def test_a_schedule_is_stored_with_its_zone_and_its_end_as_an_instant(
    schedule: dict[str, Any], zone: str, stored: dict[str, Any]
) -> None:
    assert RecurringSchedule.model_validate(schedule).stored(zone) == stored
    recurrence = Recurrence.stored(stored)
    assert (recurrence.cron, recurrence.zone) == (stored["cron"], stored["timezone"])
    assert recurrence.max_occurrences == stored.get("maxOccurrences")
    end = recurrence.end_at
    assert (end.isoformat() if end else None) == (
        stored["endAt"].replace(".000Z", "+00:00") if "endAt" in stored else None
    )


def test_an_end_outside_the_calendar_is_refused() -> None:
    schedule = RecurringSchedule.model_validate(
        {"cron": "0 9 * * *", "endAt": "9999-12-31T23:30:00"}
    )
    with pytest.raises(ValueError, match="years 1 and 9999"):
        schedule.stored("America/New_York")


def test_a_cron_is_spelled_with_single_spaces() -> None:
    assert check_cron("\t0  9 *\n* 1 ") == "0 9 * * 1"


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("0 9 * *", 'must have the five fields of cron, such as "0 9 * * 1"'),
        ("60 9 * * *", "is not cron: bad minute"),
    ],
)
def test_the_refusal_of_a_cron_is_a_sentence_about_its_field(cron: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_cron(cron)
    assert str(refused.value) == sentence


def test_the_refusal_of_a_series_without_an_occurrence_names_the_year() -> None:
    with pytest.raises(ValueError) as refused:
        check_spacing(Recurrence("0 9 29 2 *", "UTC"), NINE)
    assert str(refused.value) == "has no occurrence in the year after 2026-11-25T09:00:00.000Z"


def test_an_occurrence_on_the_last_day_of_the_year_is_one() -> None:
    end = NINE + YEAR
    check_spacing(Recurrence("0 9 26 11 *", "UTC", end_at=end), NINE)
    with pytest.raises(ValueError, match="no occurrence"):
        check_spacing(Recurrence("0 9 26 11 *", "UTC", end_at=NINE), NINE)


def test_the_refusal_of_two_occurrences_within_an_hour_shows_both_on_local_clocks() -> None:
    close = Recurrence("0,59 9 * * *", "Europe/Berlin")
    with pytest.raises(ValueError) as refused:
        check_stretch(close, NINE, NINE + 24 * HOUR)
    assert str(refused.value) == (
        "recurs 59 min apart, the limit is 60 min:"
        " 2026-11-26 09:00 and 2026-11-26 09:59 (Europe/Berlin)"
    )


def test_only_the_first_of_two_occurrences_has_to_lie_in_the_stretch() -> None:
    close = Recurrence("0,30 9 * * *", "UTC")
    with pytest.raises(ValueError, match="30 min apart"):
        check_stretch(close, NINE - HOUR, NINE)
    check_stretch(close, NINE - HOUR, NINE - MOMENT)
    check_stretch(close, NINE, NINE + HOUR)  # the first one lies before it
    assert LEAST == HOUR
