"""The rules of times: which instant a body's local time is, and whether a schedule may be stored.
Pure.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from streams.contracts.bodies import CampaignCreate, CampaignUpdate
from streams.contracts.recurrence import Recurrence, check_spacing
from streams.contracts.values.local_time import resolved
from streams.errors import FieldError, broken
from tables.models import Campaign

_LATEST = timedelta(days=3650)  # what is longer would only overflow
_DEFAULT_LATENESS = timedelta(days=1)
_duration = TypeAdapter(timedelta).validate_python


def times_of(
    body: CampaignCreate | CampaignUpdate, at: datetime, zone: str | None
) -> dict[str, Any]:
    """The columns `scheduled_at` and `recurring_schedule`, if the body gives them. Local times are
    in its `timezone`, else in `zone`.

    Raises CampaignError, also when the schedule recurs too often or not at all in the year after
    `at`.
    """
    zone = (body.timezone if "timezone" in body.model_fields_set else zone) or "UTC"
    columns: dict[str, Any] = {}
    if body.scheduled_at is not None:
        columns["scheduled_at"] = instant_of(body.scheduled_at, zone, "scheduledAt")
    if body.recurring_schedule is not None:
        try:
            columns["recurring_schedule"] = body.recurring_schedule.stored(zone)
        except ValueError as error:
            raise broken(FieldError("recurringSchedule.endAt", str(error))) from error
        check_recurrence(columns["recurring_schedule"], at)
    return columns


def instant_of(time: datetime, zone: str, field: str) -> datetime:
    """The instant of a time that may be local. Raises CampaignError."""
    try:
        return resolved(time, zone)
    except ValueError as error:
        raise broken(FieldError(field, str(error))) from error


def check_recurrence(schedule: dict[str, Any], start: datetime) -> Recurrence:
    """The schedule of a series that begins at `start`. Raises CampaignError that names the rule and
    its limit.
    """
    recurrence = Recurrence.stored(schedule)
    if recurrence.end_at is not None and recurrence.end_at <= start:
        raise broken(
            FieldError("recurringSchedule.endAt", "must be later than the beginning of the series")
        )
    try:
        check_spacing(recurrence, start)
    except ValueError as error:
        raise broken(FieldError("recurringSchedule.cron", str(error))) from error
    return recurrence


def max_lateness(campaign: Campaign) -> timedelta:
    """How late it may start (`settings.maxLateness`, else a day)."""
    stored = campaign.settings.get("maxLateness")
    return min(_duration(stored), _LATEST) if stored else _DEFAULT_LATENESS
