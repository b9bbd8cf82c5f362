"""A route that is warmed up: a little more on each day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from streams.contracts.fields import MAX_INTEGER
from streams.contracts.routes import Warmup

_FIRST = datetime(2026, 12, 1, 23, 59, tzinfo=UTC)


def test_the_limit_grows_by_the_factor_at_midnight() -> None:
    warmup = Warmup.model_validate({"startsAt": "2026-12-01"})
    grown = [warmup.per_hour_at(_FIRST + timedelta(days=days)) for days in range(6)]
    assert grown == [20, 28, 39, 54, 76, 107]
    assert warmup.per_hour_at(_FIRST + timedelta(minutes=1)) == 28


def test_it_is_that_of_the_first_day_before_and_no_limit_in_the_end() -> None:
    warmup = Warmup.model_validate({"startsAt": "2026-12-01", "perHour": 100, "factor": 10})
    assert warmup.per_hour_at(_FIRST - timedelta(days=90)) == 100
    assert warmup.per_hour_at(_FIRST + timedelta(days=2)) == 10_000
    assert warmup.per_hour_at(_FIRST + timedelta(days=9_999)) == MAX_INTEGER


@pytest.mark.parametrize("changes", [{"factor": 1}, {"perHour": 0}, {"overflow": "lose"}])
def test_what_never_grows_or_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Warmup.model_validate({"startsAt": "2026-12-01"} | changes)
