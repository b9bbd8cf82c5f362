"""Which instant a body's local time is, and which schedules may be stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.contracts.bodies import CampaignCreate, CampaignUpdate, validated
from streams.errors import CampaignError
from tables.campaigns.times import check_recurrence, instant_of, times_of

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)


def created(**more: Any) -> CampaignCreate:
    return validated(CampaignCreate, {"name": "n", "channel": "sms", **more}, "forbid")


def updated(**more: Any) -> CampaignUpdate:
    return validated(CampaignUpdate, more, "forbid")


@pytest.mark.parametrize(
    ("body", "zone", "expected"),
    [
        (created(scheduledAt="2026-06-01T09:00"), None, "2026-06-01T09:00:00+00:00"),
        (
            created(scheduledAt="2026-06-01T09:00", timezone="Europe/Berlin"),
            "Asia/Tokyo",
            "2026-06-01T07:00:00+00:00",
        ),
        (updated(scheduledAt="2026-06-01T09:00"), "Asia/Tokyo", "2026-06-01T00:00:00+00:00"),
        (updated(scheduledAt="2026-06-01T09:00"), None, "2026-06-01T09:00:00+00:00"),
        (
            updated(scheduledAt="2026-06-01T09:00", timezone=None),
            "Asia/Tokyo",
            "2026-06-01T09:00:00+00:00",
        ),
        (
            updated(scheduledAt="2026-06-01T09:00:00+02:00", timezone="Asia/Tokyo"),
            None,
            "2026-06-01T07:00:00+00:00",
        ),
    ],
)
def test_a_local_time_is_in_the_zone_of_the_body_or_of_the_campaign(
    body: CampaignCreate | CampaignUpdate, zone: str | None, expected: str
) -> None:
    assert times_of(body, NOW, zone) == {"scheduled_at": datetime.fromisoformat(expected)}


def test_a_body_without_times_changes_no_column() -> None:
    assert times_of(updated(name="n"), NOW, "Asia/Tokyo") == {}
    assert times_of(updated(timezone="Europe/Berlin"), NOW, None) == {}


def test_a_schedule_is_stored_with_its_zone_and_its_end_as_an_instant() -> None:
    daily = {"cron": "0  9 * * *", "endAt": "2026-12-31T09:00"}
    assert times_of(updated(recurringSchedule=daily), NOW, "Europe/Berlin") == {
        "recurring_schedule": {
            "cron": "0 9 * * *",
            "timezone": "Europe/Berlin",
            "endAt": "2026-12-31T08:00:00.000Z",
        }
    }
    own = {"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "maxOccurrences": 3}
    assert times_of(updated(recurringSchedule=own), NOW, "Europe/Berlin") == {
        "recurring_schedule": {"cron": "0 9 * * *", "timezone": "Asia/Tokyo", "maxOccurrences": 3}
    }


def refusal(body: CampaignUpdate, zone: str | None = None) -> tuple[str, str]:
    with pytest.raises(CampaignError) as refused:
        times_of(body, NOW, zone)
    (error,) = refused.value.errors
    return error.field, error.message


def test_a_time_that_no_calendar_has_is_named() -> None:
    calendar = "must lie between the years 1 and 9999 in UTC"
    last, end = "9999-12-31T23:00", {"cron": "0 9 * * *", "endAt": "9999-12-31T23:00"}
    west = "America/New_York"
    assert refusal(updated(scheduledAt=last), west) == ("scheduledAt", calendar)
    assert refusal(updated(recurringSchedule=end), west) == ("recurringSchedule.endAt", calendar)
    with pytest.raises(CampaignError) as refused:
        instant_of(datetime(9999, 12, 31, 23), west, "here")
    assert refused.value.errors[0].field == "here"


@pytest.mark.parametrize(
    ("schedule", "field", "rule"),
    [
        (
            {"cron": "*/30 9 * * *"},
            "recurringSchedule.cron",
            "recurs 30 min apart, the limit is 60 min: 2026-01-29 09:00 and 2026-01-29 09:30 (UTC)",
        ),
        (
            {"cron": "0 9 29 2 *"},
            "recurringSchedule.cron",
            "has no occurrence in the year after 2026-01-28T09:00:00.000Z",
        ),
        (
            {"cron": "0 9 * * *", "endAt": "2026-01-28T09:00:00Z"},
            "recurringSchedule.endAt",
            "must be later than the beginning of the series",
        ),
        (
            {"cron": "0 8 * * *", "endAt": "2026-01-28T10:00:00Z"},
            "recurringSchedule.cron",
            "has no occurrence in the year after 2026-01-28T09:00:00.000Z",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_named_with_its_rule(
    schedule: dict[str, str], field: str, rule: str
) -> None:
    assert refusal(updated(recurringSchedule=schedule)) == (field, rule)


def test_a_series_may_end_a_moment_after_its_beginning_if_it_recurs_in_it() -> None:
    end = NOW + timedelta(seconds=60)
    schedule = {"cron": "1 9 * * *", "timezone": "UTC", "endAt": end.isoformat()}
    recurrence = check_recurrence(schedule, NOW)
    assert (recurrence.end_at, recurrence.next(NOW)) == (end, end)
