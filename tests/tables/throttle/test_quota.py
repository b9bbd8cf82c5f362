"""The arithmetic of limits: which windows count, how much room they leave, and when it grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.exactly_once.tables import PartitionState
from streams.process.app import App, create_app
from streams.records.sending import Limits
from streams.settings import Settings
from tables.throttle.quota import UNLIMITED, Allowance, Period, Quota, allow, tightest

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)
periods = st.builds(
    Period,
    st.timedeltas(timedelta(seconds=1), timedelta(days=2)),
    st.sampled_from([1, 7, 60, 96]),
)
instants = st.datetimes(datetime(2025, 6, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
allowances = st.builds(
    Allowance,
    st.sampled_from([0, 0, 1, 5, UNLIMITED]),
    st.none() | instants,
    st.integers(0, 9),
)


def boundary(period: Period, index: int) -> Fraction:
    """Microseconds from the first window to the beginning of this one, without rounding."""
    return Fraction(period.length // TICK * index, period.windows)


def since_first(at: datetime) -> int:
    return (at - datetime(2026, 1, 1, tzinfo=UTC)) // TICK


@given(periods, instants)
def test_an_instant_lies_in_the_window_whose_exact_ends_are_around_it(
    period: Period, at: datetime
) -> None:
    index = period.index(at)
    assert boundary(period, index) <= since_first(at) < boundary(period, index + 1)


@given(periods, instants)
def test_the_windows_that_count_cover_a_whole_period_and_at_most_one_window_more(
    period: Period, now: datetime
) -> None:
    oldest = period.oldest(now)
    assert oldest <= period.index(now - period.length)
    assert period.index(now) - oldest == period.windows
    too_old = now - period.length - period.length / period.windows - 2 * TICK
    assert period.index(too_old) < oldest


@given(periods, st.integers(-500, 500_000))
def test_a_window_leaves_in_the_first_moment_in_which_it_does_not_count(
    period: Period, index: int
) -> None:
    leaves = period.leaves(index)
    assert period.oldest(leaves) > index
    assert period.oldest(leaves - 2 * TICK) <= index


@st.composite
def usages(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """Counted windows of an hour, oldest first, and what is outstanding."""
    period = Period(HOUR, 60)
    indices = draw(st.lists(st.integers(period.oldest(NOW), period.index(NOW)), unique=True))
    return [(index, draw(st.integers(1, 50))) for index in sorted(indices)], draw(
        st.integers(0, 100)
    )


@given(usages(), st.integers(0, 3000))
def test_what_is_sent_and_what_is_outstanding_fill_a_limit_together(
    usage: tuple[list[tuple[int, int]], int], limit: int
) -> None:
    counts, outstanding = usage
    used = sum(sent for _, sent in counts)
    allowance = allow(limit, counts, outstanding, NOW, Period(HOUR, 60))
    assert allowance.room == max(0, limit - used - outstanding)
    assert (allowance.used, allowance.limit) == (used, limit)
    assert allowance.room == 0 or allowance.until is None


@given(usages(), st.integers(1, 400))
def test_there_is_room_for_one_from_the_time_that_an_allowance_names_and_not_before(
    usage: tuple[list[tuple[int, int]], int], limit: int
) -> None:
    period = Period(HOUR, 60)
    counts, outstanding = usage
    allowance = allow(limit, counts, outstanding, NOW, period)
    if allowance.room:
        return

    def counted(at: datetime) -> int:
        sent = [*counts, (period.index(NOW), outstanding)]
        return sum(messages for index, messages in sent if index >= period.oldest(at))

    assert allowance.until is not None
    assert counted(allowance.until) <= limit - 1
    assert counted(allowance.until - 2 * TICK) > limit - 1


def test_a_limit_of_nothing_names_no_time() -> None:
    period = Period(HOUR, 60)
    counts = [(period.index(NOW), 7)]
    assert allow(0, counts, 3, NOW, period) == Allowance(0, None, 7, 0)


def test_a_limit_that_was_lowered_below_what_is_used_leaves_no_room_and_no_debt() -> None:
    period = Period(HOUR, 60)
    counts = [(period.index(NOW) - 2, 40), (period.index(NOW), 60)]
    allowance = allow(50, counts, 0, NOW, period)
    assert allowance == Allowance(0, period.leaves(period.index(NOW)), 100, 50)


def test_without_a_limit_everything_is_allowed() -> None:
    assert allow(None, [(0, 10)], 5, NOW, Period(HOUR, 60)) == Allowance(UNLIMITED, None)


@given(allowances, allowances, allowances)
def test_of_several_limits_the_tightest_holds_in_whatever_order_they_are_read(
    one: Allowance, other: Allowance, third: Allowance
) -> None:
    both = tightest(one, other)
    assert both in (one, other)
    assert both.room == min(one.room, other.room)
    assert tightest(other, one)[:2] == both[:2] or both.room
    assert tightest(tightest(one, other), third)[0] == tightest(one, tightest(other, third))[0]


@pytest.mark.parametrize(
    ("one", "other", "longest"),
    [
        (NOW, NOW + HOUR, NOW + HOUR),
        (NOW + HOUR, NOW, NOW + HOUR),
        (NOW, None, None),
        (None, NOW, None),
        (None, None, None),
    ],
)
def test_of_two_limits_without_room_the_one_that_waits_longer_holds(
    one: datetime | None, other: datetime | None, longest: datetime | None
) -> None:
    assert tightest(Allowance(0, one), Allowance(0, other)).until == longest


def test_a_limit_without_room_is_tighter_than_one_that_waits_longer_for_nothing() -> None:
    assert tightest(Allowance(0, NOW), Allowance(1, NOW + HOUR)) == Allowance(0, NOW)
    assert tightest(Allowance(1, NOW + HOUR), Allowance(0, NOW)) == Allowance(0, NOW)


def test_what_is_granted_shrinks_the_room_of_a_limit_and_nothing_shrinks_no_limit() -> None:
    assert Allowance(10, None, 3, 13).minus(4) == Allowance(6, None, 3, 13)
    assert Allowance().minus(4) == Allowance()


def no_engines(hour: timedelta, day: timedelta) -> Settings:
    return Settings(
        kafka="127.0.0.1:1",
        postgres="",
        nats="",
        partitions=1,
        hour=hour,
        day=day,
        message_keys=("00" * 16,),
    )


@lru_cache
def tables(hour: timedelta, day: timedelta) -> tuple[App, Quota]:
    """The real tables, on an app that is never started."""
    configured = no_engines(hour, day)
    app = create_app("control", configured)
    return app, Quota(app, configured)


sent = st.lists(
    st.tuples(
        st.sampled_from(["acme", "acme\0001", "other"]), st.integers(0, 200), st.floats(-1, 1)
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(
    sent,
    st.sampled_from([(HOUR, DAY), (timedelta(seconds=7), timedelta(seconds=20))]),
    st.lists(st.floats(0, 4), min_size=1, max_size=5),
)
def test_tables_count_what_each_key_has_sent_since_its_oldest_window(
    messages: list[tuple[str, int, float]],
    lengths: tuple[timedelta, timedelta],
    reads: list[float],
) -> None:
    hour, day = lengths
    app, quota = tables(hour, day)
    state = PartitionState(0, app.tables.transactional, None)
    latest = NOW + hour
    with state.current():
        for key, count, offset in messages:
            quota.count(key, count, NOW + hour * offset)
        for read in sorted(reads):
            now = NOW + hour * read
            for limits, windows, length in (
                (Limits(per_hour=10**9), 60, hour),
                (Limits(per_day=10**9), 96, day),
            ):
                period = Period(length, windows)
                for key in ("acme", "acme\0001", "other", "nobody"):
                    used = sum(
                        count
                        for who, count, offset in messages
                        if who == key and period.index(NOW + hour * offset) >= period.oldest(now)
                    )
                    allowance = quota.allowance(key, limits, 5, now, latest)
                    assert (allowance.used, allowance.room) == (used, 10**9 - used - 5)


def test_the_hour_and_the_day_both_hold() -> None:
    app, quota = tables(HOUR, DAY)
    state = PartitionState(0, app.tables.transactional, None)
    with state.current():
        quota.count("acme", 80, NOW)
        both = quota.allowance("acme", Limits(per_hour=100, per_day=90), 0, NOW, NOW)
        assert (both.room, both.limit) == (10, 90)
        later = NOW + timedelta(hours=2)
        assert quota.allowance("acme", Limits(100, 300), 0, later, later).room == 100
        assert quota.allowance("acme", Limits(), 0, later, later) == Allowance()


def test_nothing_sent_leaves_no_row() -> None:
    app, quota = tables(HOUR, DAY)
    state = PartitionState(0, app.tables.transactional, None)
    with state.current():
        quota.count("acme", 0, NOW)
        assert state.changes() == []
        quota.count("acme", 1, NOW)
        assert len(state.changes()) == 2


def test_windows_outlive_a_clock_that_has_counted_an_hour_ahead() -> None:
    app, quota = tables(HOUR, DAY)
    state = PartitionState(0, app.tables.transactional, None)
    with state.current():
        quota.count("acme", 9, NOW - HOUR)
        quota.count("acme", 1, NOW + HOUR)
        state.changes()  # expires what is too old for the latest window
        assert quota.allowance("acme", Limits(per_hour=100), 0, NOW, NOW + HOUR).used == 10
        quota.count("acme", 1, NOW + timedelta(hours=3))
        expired = [key for key, value in state.changes() if value is None]
        assert len(expired) == 1
        assert expired[0].startswith(b"minutes")


@pytest.mark.parametrize(
    ("limits", "waits"),
    [
        (Limits(per_hour=10), HOUR + timedelta(minutes=1)),
        (Limits(per_day=10), DAY + timedelta(minutes=15)),
        (Limits(per_hour=10, per_day=10), DAY + timedelta(minutes=15)),
        (Limits(per_hour=10, per_day=11), HOUR + timedelta(minutes=1)),
    ],
)
def test_a_used_up_hour_lasts_a_minute_longer_and_a_used_up_day_a_quarter_of_an_hour(
    limits: Limits, waits: timedelta
) -> None:
    app, quota = tables(HOUR, DAY)
    with PartitionState(0, app.tables.transactional, None).current():
        quota.count("acme", 10, NOW)
        assert quota.allowance("acme", limits, 0, NOW, NOW).until == NOW + waits + TICK


@pytest.mark.parametrize("left", [0, 1, 2])
def test_only_a_limit_without_any_room_names_a_time(left: int) -> None:
    period = Period(HOUR, 60)
    counts = [(period.index(NOW), 7)]
    allowance = allow(10 + left, counts, 3, NOW, period)
    assert (allowance.room, allowance.until is None) == (left, left > 0)


def test_windows_in_the_state_topic_stay_what_they_are_from_release_to_release() -> None:
    """A day and 90 minutes after the first window: minute 1,530 and quarter of an hour 102."""
    app, quota = tables(HOUR, DAY)
    state = PartitionState(0, app.tables.transactional, None)
    with state.current():
        quota.count("acme", 9, datetime(2026, 1, 2, 1, 30, 59, tzinfo=UTC))
        assert sorted(state.changes()) == [
            (b'minutes\0["acme",[91800.0,91859.9]]', b"9"),
            (b'quarters\0["acme",[91800.0,92699.9]]', b"9"),
        ]
