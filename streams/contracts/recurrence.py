"""The occurrences of a recurring campaign: cron in a time zone, with an end or a number, and the
occurrences to make now. Pure.

Cron is read as Debian's cron reads it (cronsim): five fields, names, ranges, steps, `L` and `#`. A
fixed time that clocks are put forward over is the first instant after the gap; one that exists
twice is the earlier. Where the minutes or hours begin with `*`, hours are counted as they pass: a
campaign of every hour stays one of every hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, StringConstraints

from streams.contracts.envelope import rfc3339
from streams.contracts.fields import Body, Time, TimeZone
from streams.contracts.values.local_time import resolved, shown

LEAST = timedelta(hours=1)  # between two occurrences (specification, section 9)
YEAR = timedelta(days=366)
_DAY = timedelta(days=1)
_STEP = timedelta(hours=12)  # no zone changes its clocks twice within it
_LAST = datetime(9999, 12, 20, tzinfo=UTC)  # some days before the calendar ends
_FIELDS = 5


@dataclass(frozen=True)
class Recurrence:
    """`cron` in `zone` until `end_at`, included; at most `max_occurrences` of them are sent."""

    cron: str
    zone: str
    end_at: datetime | None = None
    max_occurrences: int | None = None

    @classmethod
    def stored(cls, schedule: dict[str, Any]) -> Self:
        """From the column `recurring_schedule`, which has been checked."""
        end_at = schedule.get("endAt")
        return cls(
            schedule["cron"],
            schedule["timezone"],
            datetime.fromisoformat(end_at) if end_at else None,
            schedule.get("maxOccurrences"),
        )

    def after(self, instant: datetime) -> Iterator[datetime]:
        """The occurrences later than `instant`, in UTC and ascending, until the end; none when
        there is none within 50 years.
        """
        last = instant
        with suppress(OverflowError):  # the calendar ends in 9999
            for local in CronSim(self.cron, instant.astimezone(ZoneInfo(self.zone))):
                occurrence = local.astimezone(UTC)
                if self.end_at is not None and occurrence > self.end_at:
                    return
                if (
                    occurrence > last
                ):  # within the hour that exists twice cronsim begins with the first one
                    last = occurrence
                    yield occurrence

    def next(self, instant: datetime) -> datetime | None:
        """The first occurrence later than `instant`."""
        return next(self.after(instant), None)


def check_cron(cron: str) -> str:
    """The expression with single spaces. Raises ValueError that names the field."""
    fields = cron.split()
    if len(fields) != _FIELDS:
        raise ValueError('must have the five fields of cron, such as "0 9 * * 1"')
    try:
        CronSim(" ".join(fields), datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"is not cron: {str(error)[:1].lower()}{str(error)[1:]}") from error
    return " ".join(fields)


def check_spacing(recurrence: Recurrence, start: datetime) -> None:
    """Raises ValueError unless it recurs in the year after `start` and never within an hour, by the
    calendar and not by the text.

    Takes a few milliseconds: of the days that are alike, one is looked at (`telling_stretches`).
    """
    year = start + YEAR if start < _LAST - YEAR else _LAST
    first = recurrence.next(start)
    if first is None or first > year:
        raise ValueError(f"has no occurrence in the year after {rfc3339(start)}")
    for begin, end in telling_stretches(recurrence, start, year):
        check_stretch(recurrence, begin, end)


def check_stretch(recurrence: Recurrence, begin: datetime, end: datetime) -> None:
    """Raises ValueError for the first occurrence later than `begin`, and not later than `end`, that
    has another within an hour after it.
    """
    for one, other in pairwise(recurrence.after(begin)):
        if one > end:
            return
        if other - one < LEAST:
            minutes = round((other - one).total_seconds() / 60)
            times = f"{shown(one, recurrence.zone)} and {shown(other, recurrence.zone)}"
            raise ValueError(
                f"recurs {minutes} min apart, the limit is 60 min: {times} ({recurrence.zone})"
            )


def telling_stretches(
    recurrence: Recurrence, start: datetime, year: datetime
) -> list[tuple[datetime, datetime]]:
    """Stretches of time, ascending, that have the first two occurrences within an hour, if any in
    the year has: (after when, until when).

    Cron has the same minutes in each of its hours. So away from changes of the clocks two
    occurrences within an hour show on every day on which it recurs, and these days suffice: the
    first one, which may have begun, the days around each change, and the first other one on which
    it recurs.
    """
    zone = ZoneInfo(recurrence.zone)
    today, last = start.astimezone(zone).date(), year.astimezone(zone).date()
    odd = _days_around_changes(zone, start - _DAY, year + _DAY)
    ordinary = next((day for day in _days_of(recurrence, today) if day not in odd), last)
    days = {today, ordinary} | odd
    return [
        (
            start if first <= today else _midnight(first, zone) - timedelta.resolution,
            min(_midnight(final + _DAY, zone), year),
        )
        for first, final in _runs(sorted(day for day in days if today <= day <= last))
    ]


def _days_of(recurrence: Recurrence, after: date) -> Iterator[date]:
    """The days on which it recurs, ascending."""
    days = " ".join(recurrence.cron.split(" ")[2:])
    with suppress(OverflowError):
        for midnight in CronSim(f"0 0 {days}", datetime.combine(after, time(), UTC)):
            yield midnight.date()


def _days_around_changes(zone: ZoneInfo, begin: datetime, end: datetime) -> set[date]:
    """The local days on which clocks are changed, and the days before and after them."""
    found = set[date]()
    here = begin.astimezone(zone)
    while here < end:
        there = (here.astimezone(UTC) + _STEP).astimezone(zone)
        if here.utcoffset() != there.utcoffset():
            first, final = here.date() - _DAY, there.date() + _DAY
            found |= {first + n * _DAY for n in range((final - first).days + 1)}
        here = there
    return found


def _runs(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """The first and the last of each run of days that follow each other."""
    first: date | None = None
    for day, following in pairwise([*days, None]):
        assert day is not None
        first = first or day
        if following is None or following - day > _DAY:
            yield first, day
            first = None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return resolved(datetime.combine(day, time()), zone.key)


class RecurringSchedule(Body):
    """`recurringSchedule` of a campaign: `cron` in `timezone` (else the campaign's) until `endAt`,
    included, or for `maxOccurrences`.
    """

    cron: Annotated[
        str,
        StringConstraints(max_length=100),
        AfterValidator(check_cron),
        Field(examples=["0 9 * * 1"]),
    ]
    timezone: TimeZone | None = None
    end_at: Time | None = None
    max_occurrences: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = None

    def stored(self, zone: str) -> dict[str, Any]:
        """As the column and the API spell it, the zone named and the end an instant. Raises
        ValueError (`resolved`).
        """
        zone = self.timezone or zone
        end = None if self.end_at is None else rfc3339(resolved(self.end_at, zone))
        fields = {
            "cron": self.cron,
            "timezone": zone,
            "endAt": end,
            "maxOccurrences": self.max_occurrences,
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class Plan:
    """The occurrences to make now, and the first one after them (None: the series has no more)."""

    due: tuple[datetime, ...]
    next: datetime | None


def plan(
    recurrence: Recurrence,
    start: datetime,
    now: datetime,
    until: datetime,
    left: int | None,
    max_lateness: timedelta,
) -> Plan:
    """The occurrences in [start, until] to make now, `left` at most (None: any number).

    Of missed ones only the latest is made, and only when it is not later than `max_lateness`: no
    recipient wants five newsletters at once.
    """
    missed: datetime | None = None
    due: list[datetime] = []
    following: datetime | None = None
    for occurrence in recurrence.after(max(start, now - max_lateness) - timedelta(microseconds=1)):
        if occurrence > until:
            following = occurrence
            break
        if occurrence <= now:
            missed = occurrence
        else:
            due.append(occurrence)
    wanted = ([missed] if missed else []) + due
    if left is not None and len(wanted) >= left:
        return Plan(tuple(wanted[: max(left, 0)]), None)
    return Plan(tuple(wanted), following)
