"""Opens that say nothing new are left out, and the first one of a person never is."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.recipients.repeats import Repeats

_WINDOW = 2


class _Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_five_hundred_loads_of_a_picture_are_a_handful_of_records() -> None:
    clock = _Clock()
    repeats, reported = Repeats(timedelta(seconds=_WINDOW), clock=clock), 0
    for _ in range(500):
        reported += repeats.is_news("picture")
        clock.now += 0.5
    assert reported <= _WINDOW + 3


@given(
    st.lists(st.floats(0, 700), min_size=1, max_size=60).map(sorted),
    st.floats(0, 5),
    st.integers(0, 10),
)
def test_the_first_event_after_the_machines_window_is_always_reported(
    loads: list[float], sent_before: float, window: int
) -> None:
    """Whole seconds are what counts downstream: an event is a person's from the second on in which
    the window after sending is over. The second of the first such event must be reported.
    """
    clock = _Clock()
    repeats = Repeats(timedelta(seconds=window), clock=clock)
    sent, seconds = 1_000.0 + loads[0] - sent_before, set[int]()
    for load in loads:
        clock.now = 1_000.0 + load
        if repeats.is_news("picture"):
            seconds.add(int(clock.now))
    by_a_person = [int(1_000 + load) for load in loads if int(1_000 + load) - int(sent) > window]
    assert not by_a_person or by_a_person[0] in seconds


def test_other_events_and_what_could_not_be_reported_are_news() -> None:
    repeats = Repeats(timedelta(seconds=_WINDOW), clock=_Clock())
    assert repeats.is_news(("a", False)) and repeats.is_news(("a", True)) and repeats.is_news("b")
    assert not repeats.is_news(("a", False))
    repeats.forget(("a", False))
    assert repeats.is_news(("a", False))


def test_memory_is_bounded_and_what_is_forgotten_is_news() -> None:
    repeats = Repeats(timedelta(seconds=_WINDOW), most=10, clock=_Clock())
    assert all(repeats.is_news(number) for number in range(100))
    assert len(repeats._known) == 10
    assert repeats.is_news(0) and not repeats.is_news(99)


def test_after_ten_minutes_and_after_a_clock_that_went_back_all_is_news() -> None:
    clock = _Clock()
    repeats = Repeats(timedelta(seconds=_WINDOW), clock=clock)
    assert repeats.is_news("a") and not repeats.is_news("a")
    clock.now += 600
    assert repeats.is_news("a") and not repeats.is_news("a")
    clock.now -= 3_600
    assert repeats.is_news("a")
