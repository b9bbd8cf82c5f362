"""The breaker of a route, and its limit per second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.delivery.outlets.pacing import Breaker, Budget, Pace


def test_after_a_failure_one_probe_goes_after_each_pause_and_pauses_double() -> None:
    breaker, now, pauses = Breaker(), 100.0, []
    assert breaker.most(now, 16) == 16
    for _ in range(12):
        assert breaker.failed(now)
        assert breaker.most(now, 16) == 0
        begun = now
        while not breaker.most(now, 16):
            now += 0.5
        assert breaker.most(now, 16) == 1
        pauses.append(now - begun)
    assert pauses[:4] == [1, 2, 4, 8] and pauses[-1] == 300
    assert breaker.succeeded() and breaker.most(now, 16) == 16
    assert not breaker.succeeded()


def test_failures_of_what_was_on_its_way_already_are_one() -> None:
    breaker = Breaker()
    assert breaker.failed(0.0)
    assert not any(breaker.failed(0.5) for _ in range(15))
    assert breaker.most(1.0, 16) == 1


def test_a_longer_pause_that_is_asked_for_meanwhile_is_kept_to() -> None:
    breaker = Breaker()
    assert breaker.failed(0.0)
    assert not breaker.failed(0.5, pause=60)
    assert not breaker.failed(0.6, pause=5)
    assert breaker.most(60, 16) == 0 and breaker.most(60.5, 16) == 1


def test_what_waiting_does_not_mend_is_looked_at_after_the_long_pause() -> None:
    breaker = Breaker()
    breaker.failed(0.0, pause=900)
    assert breaker.most(899, 16) == 0 and breaker.most(900, 16) == 1


@given(
    st.floats(0.1, 1_000),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 50)), min_size=1, max_size=60),
)
def test_no_second_takes_more_than_the_limit_and_a_burst(
    rate: float, asked: list[tuple[float, int]]
) -> None:
    pace, now, sent = Pace(rate), 1_000.0, list[tuple[float, int]]()
    for pause, wanted in asked:
        now += pause
        count = pace.room(now, wanted)
        pace.took(now, count)
        sent.append((now, count))
    for start, _ in sent:
        within = sum(count for at, count in sent if start <= at < start + 1)
        assert within <= rate + max(0.1 * rate, 1) + 1e-3


def test_a_route_without_a_limit_takes_what_there_is() -> None:
    assert Pace(None).room(0.0, 7) == 7


def test_of_what_was_reserved_no_more_goes_than_it_is_and_nothing_when_it_is_over() -> None:
    budget = Budget()
    assert budget.room(1.0, 5) == 0 and budget.is_over(1.0)
    budget.renew(budget.wanted(), expires=60.0)
    assert not budget.is_over(1.0)
    assert (budget.left, budget.room(2.0, 4)) == (10, 4)
    budget.took(8)
    assert budget.room(3.0, 4) == 2 and budget.is_over(3.0)
    assert budget.wanted() == 16  # twice as many as went
    assert budget.room(60.0, 4) == 0


def test_what_nobody_uses_is_given_back_and_a_reached_limit_is_left_alone_for_a_while() -> None:
    budget = Budget()
    budget.renew(5, expires=60.0)
    assert not budget.is_over(59.0) and budget.is_over(60.0)
    assert budget.wanted() == 0
    budget.renew(0, expires=70.0)
    budget.rest(until=65.0)
    assert budget.room(61.0, 1) == 0
    assert not budget.is_over(61.0) and budget.is_over(65.0)
