"""When a job has its turn: regularly, earlier when something is due, later while it fails, and
never not at all.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from agents.jobs.jobs import JOBS
from agents.jobs.turns import Turn, next_turn
from tables.database import job_runs
from tables.models import JobRun

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)
EVERY = timedelta(minutes=5)
SECONDS = st.integers(-7200, 7200)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def ran(
    began: float, *, turn: float | None = None, failures: int = 0, ended: float | None = None
) -> JobRun:
    """All in seconds before now."""
    outcome = "running" if ended is None else "failed" if failures else "done"
    finished, turn_at = (
        (None if ended is None else ago(ended)),
        (None if turn is None else ago(turn)),
    )
    return JobRun(
        job="j",
        run_id=UUID(int=0),
        started_at=ago(began),
        outcome=outcome,
        finished_at=finished,
        turn_at=turn_at,
        failures=failures,
    )


def test_a_job_that_never_ran_has_its_turn_now() -> None:
    assert next_turn(None, EVERY, None, NOW) == Turn(NOW)


def test_a_turn_follows_the_last_one_that_succeeded() -> None:
    assert next_turn(ran(100, turn=100, ended=90), EVERY, None, NOW) == Turn(ago(-200))
    assert next_turn(ran(400, turn=400, ended=90), EVERY, None, NOW).at <= NOW


def test_what_is_due_brings_it_forward_and_does_not_move_its_turn() -> None:
    assert next_turn(ran(100, turn=100, ended=90), EVERY, ago(-7), NOW) == Turn(
        ago(-7), is_early=True
    )
    assert next_turn(ran(10, turn=290, ended=9), EVERY, ago(-60), NOW) == Turn(ago(-10))
    assert next_turn(ran(0.5, turn=100, ended=0.4), EVERY, ago(50), NOW) == Turn(
        ago(-0.5), is_early=True
    )  # a second after the last start


def test_what_stays_due_for_ever_does_not_keep_a_job_from_its_turn() -> None:
    assert next_turn(ran(10, turn=290, ended=9), EVERY, ago(5000), NOW).is_early
    assert next_turn(ran(10, turn=301, ended=9), EVERY, ago(5000), NOW) == Turn(ago(1))


def test_a_killed_run_is_no_turn() -> None:
    assert next_turn(ran(2, turn=400), EVERY, None, NOW).at <= NOW
    assert next_turn(ran(2), EVERY, None, NOW).at <= NOW


def test_failures_in_a_row_are_tried_again_ever_more_slowly_and_once_a_minute_at_least() -> None:
    waits = [
        next_turn(ran(0, turn=400, failures=n, ended=0), EVERY, ago(5), NOW).at - NOW
        for n in range(1, 12)
    ]
    assert [wait.total_seconds() for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


@given(
    began=SECONDS, turn=SECONDS | st.none(), failures=st.integers(0, 3000), due=SECONDS | st.none()
)
def test_a_job_is_never_further_away_than_its_interval_whatever_a_clock_did(
    began: int, turn: int | None, failures: int, due: int | None
) -> None:
    last = ran(
        began, turn=None if turn is None else max(turn, began), failures=failures, ended=began - 1
    )
    at = next_turn(last, EVERY, None if due is None else ago(due), NOW).at
    assert at <= NOW + EVERY + timedelta(minutes=1, seconds=1)


def test_the_four_jobs_of_the_specification_are_there_and_known_outside() -> None:
    assert set(JOBS) == set(job_runs.JOBS)
    assert set(job_runs.JOBS) == {
        "campaign-scheduler",
        "campaign-stats-refresh",
        "campaign-ab-test-evaluator",
        "campaign-recurring-trigger",
    }
