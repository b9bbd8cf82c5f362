"""Occurrences come in order, at least an hour apart, and after an outage the latest is made, not
all.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contracts.bodies import CampaignCreate, validated
from streams.contracts.recurrence import Plan, Recurrence, check_cron, check_spacing, plan
from streams.contracts.values.local_time import resolved
from streams.errors import CampaignError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Pacific/Apia",
]


def local(recurrence: Recurrence, after: datetime, count: int) -> list[str]:
    return [
        f"{found.astimezone(ZoneInfo(recurrence.zone)):%d %H:%M}"
        for found in islice(recurrence.after(after), count)
    ]


@pytest.mark.parametrize(
    ("cron", "rule"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 0 9 * * *", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 9 32 * *", "bad day-of-month"),
        ("0 9 * 13 *", "bad month"),
        ("0 9 * * 8", "bad day-of-week"),
        ("0 9 30 2 *", "bad day-of-month"),
        ("٣ 9 * * *", "bad minute"),
        ("0 9 * * L", "bad day-of-week"),
        ("5-1 9 * * *", "bad minute"),
        ("*/0 9 * * *", "bad minute"),
    ],
)
def test_what_is_not_cron_is_refused_and_names_the_field(cron: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        check_cron(cron)


@given(st.text("0123456789*/,-#L WMONJAN\n\t?@%²", max_size=40))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        assert len(check_cron(text).split(" ")) == 5
    except ValueError as error:
        assert "cron" in str(error)


@pytest.mark.parametrize(
    ("cron", "zone", "rule"),
    [
        ("* * * * *", "UTC", "1 min apart, the limit is 60 min"),
        ("0,30 9 * * *", "UTC", "30 min apart"),
        ("0 9 29 2 *", "UTC", "no occurrence in the year"),
        ("59 23 * * *", "UTC", ""),
        ("0 * * * *", "Europe/Berlin", ""),
        ("0 * * * *", "Australia/Lord_Howe", ""),
        ("30 2 * * *", "Europe/Berlin", ""),
        ("0 2,3 * * *", "Europe/Berlin", ""),  # one day a year they fall together and are one
        (
            "30 2,3 * * *",
            "Europe/Berlin",
            "30 min apart, the limit is 60 min: 2027-03-28 03:00 and 2027-03-28 03:30",
        ),
        ("0 0-23 * * *", "Australia/Lord_Howe", "30 min apart"),
        ("0 9 1-31 * MON#1", "UTC", ""),
        ("59 23 31 12 *", "UTC", ""),
        ("0,59 0,23 1,31 1,12 *", "UTC", "59 min apart"),
    ],
)
def test_two_occurrences_within_an_hour_are_refused_by_the_calendar_and_not_by_the_text(
    cron: str, zone: str, rule: str
) -> None:
    recurrence = Recurrence(check_cron(cron), zone)
    if not rule:
        check_spacing(recurrence, NOW)
        return
    with pytest.raises(ValueError, match=rule):
        check_spacing(recurrence, NOW)


def test_clocks_that_are_put_forward_or_back_move_a_fixed_time_once() -> None:
    early = Recurrence("30 2 * * *", "Europe/Berlin")
    assert local(early, datetime(2026, 3, 28, tzinfo=UTC), 3) == [
        "28 02:30",
        "29 03:00",
        "30 02:30",
    ]
    autumn = list(islice(early.after(datetime(2026, 10, 24, 12, tzinfo=UTC)), 2))
    assert autumn == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
    ]
    assert (
        early.next(datetime(2026, 10, 25, 1, 10, tzinfo=UTC)) == autumn[1]
    )  # 02:10 for the second time: it has been
    hourly = list(
        islice(
            Recurrence("0 * * * *", "Europe/Berlin").after(datetime(2026, 10, 24, 22, tzinfo=UTC)),
            6,
        )
    )
    assert all(other - one == HOUR for one, other in pairwise(hourly))


def test_a_series_ends_with_its_end_included() -> None:
    end = datetime(2026, 11, 27, 9, tzinfo=UTC)
    assert list(Recurrence("0 9 * * *", "UTC", end).after(NOW)) == [end - DAY, end]
    assert Recurrence("0 9 * * *", "UTC", end).next(end) is None
    assert Recurrence("0 9 * * *", "UTC").next(datetime(9999, 12, 31, 23, tzinfo=UTC)) is None
    assert Recurrence("0 0 29 2 *", "UTC").next(NOW) == datetime(2028, 2, 29, tzinfo=UTC)


_crons = st.builds(
    lambda minute, hours, days: f"{minute} {hours} * * {days}",
    st.integers(0, 59),
    st.sampled_from(["*", "*/2", "9", "2", "3", "1,3", "0,12"]),
    st.sampled_from(["*", "1", "1-5", "0,6", "FRI#2"]),
)
_instants = st.datetimes(datetime(2009, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(_crons, st.sampled_from(_ZONES), _instants, st.integers(1, 20))
@settings(max_examples=200)
def test_occurrences_are_the_same_wherever_one_begins_to_count(
    cron: str, zone: str, start: datetime, skip: int
) -> None:
    recurrence = Recurrence(cron, zone)
    found = list(islice(recurrence.after(start), 30))
    assert found == sorted(set(found))
    assert found[0] > start
    again = list(islice(recurrence.after(found[skip] - timedelta(microseconds=1)), 30 - skip))
    assert again[0] == found[skip]
    if not cron.split()[1].startswith("*"):  # fixed times
        assert again == found[skip:]
        for occurrence in found:
            shown = occurrence.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            assert resolved(shown.replace(fold=0), zone) == occurrence  # of two the earlier


@given(
    st.sampled_from(["0 * * * *", "0 9 * * *", "0 */6 * * *"]),
    st.integers(0, 400),
    st.integers(0, 48),
    st.none() | st.integers(0, 5),
    st.integers(1, 72),
)
def test_a_plan_makes_every_coming_occurrence_and_of_the_missed_ones_the_latest(
    cron: str, outage: int, ahead: int, left: int | None, lateness: int
) -> None:
    recurrence = Recurrence(cron, "UTC")
    start = recurrence.next(NOW - outage * HOUR)
    assert start is not None
    until, max_lateness = NOW + ahead * HOUR, lateness * HOUR
    found = plan(recurrence, start, NOW, until, left, max_lateness)
    missed = [due for due in found.due if due <= NOW]
    everything = [
        due for due in islice(recurrence.after(start - timedelta(seconds=1)), 1000) if due <= until
    ]
    late = [due for due in everything if due <= NOW]
    assert len(missed) <= 1
    assert all(due == late[-1] and NOW - due <= max_lateness for due in missed)
    if left is None:
        assert [due for due in found.due if due > NOW] == [due for due in everything if due > NOW]
        assert found.next == recurrence.next(until) or start > until
        assert bool(missed) == bool(late and NOW - late[-1] <= max_lateness)
    else:
        assert len(found.due) <= left
        assert (found.next is None) or len(found.due) < left


def test_an_exhausted_series_has_no_next_occurrence() -> None:
    recurrence = Recurrence("0 * * * *", "UTC", NOW + 2 * HOUR)
    assert plan(recurrence, NOW, NOW, NOW + 5 * HOUR, None, DAY) == Plan(
        (NOW, NOW + HOUR, NOW + 2 * HOUR), None
    )
    assert plan(recurrence, NOW, NOW, NOW + 5 * HOUR, 2, DAY) == Plan((NOW, NOW + HOUR), None)
    assert plan(recurrence, NOW + HOUR, NOW, NOW, None, DAY) == Plan((), NOW + HOUR)


@pytest.mark.parametrize(
    ("schedule", "field", "rule"),
    [
        ({}, "recurringSchedule.cron", "required"),
        ({"cron": "daily"}, "recurringSchedule.cron", "five fields"),
        ({"cron": "0 9 * * *" + " " * 100}, "recurringSchedule.cron", "at most 100"),
        ({"cron": 5}, "recurringSchedule.cron", "string"),
        ({"cron": "0 9 * * *", "timezone": "Mars"}, "recurringSchedule.timezone", "IANA"),
        ({"cron": "0 9 * * *", "endAt": "soon"}, "recurringSchedule.endAt", "RFC 3339"),
        (
            {"cron": "0 9 * * *", "maxOccurrences": 0},
            "recurringSchedule.maxOccurrences",
            "greater than or equal to 1",
        ),
        (
            {"cron": "0 9 * * *", "maxOccurrences": "3"},
            "recurringSchedule.maxOccurrences",
            "integer",
        ),
        ({"cron": "0 9 * * *", "colour": "red"}, "recurringSchedule.colour", "not permitted"),
        ("0 9 * * *", "recurringSchedule", "dictionary"),
    ],
)
def test_a_schedule_that_breaks_a_rule_names_the_field(
    schedule: object, field: str, rule: str
) -> None:
    with pytest.raises(CampaignError) as refused:
        validated(
            CampaignCreate,
            {"name": "a", "channel": "email", "type": "recurring", "recurringSchedule": schedule},
            "forbid",
        )
    assert [wrong.field for wrong in refused.value.errors] == [field]
    assert rule in refused.value.errors[0].message
