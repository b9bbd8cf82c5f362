"""The limits of campaigns and tenants, while everything happens at the worst moment."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.records.sending import (
    CHUNK,
    Finished,
    Limits,
    LimitsChanged,
    RowsReady,
    Tick,
)
from tests.agents.sending.throttle.operations import (
    HOUR,
    LIMITS,
    OPERATIONS,
    Campaigns,
    assert_waits,
)
from tests.agents.sending.throttle.throttle_world import START, World, settings_with


@settings(max_examples=60, deadline=None)
@given(
    operations=OPERATIONS,
    limits=st.lists(LIMITS, min_size=7, max_size=7),
    totals=st.lists(st.sampled_from([0, 1, 700, 2000]), min_size=1, max_size=7),
    tenant_limits=st.fixed_dictionaries({"a": LIMITS, "b": LIMITS, "c": LIMITS}),
    hour=st.sampled_from([HOUR, timedelta(seconds=7), timedelta(seconds=20)]),
    in_flight=st.sampled_from([100, 2500, 30_000]),
)
def test_no_sliding_hour_or_day_exceeds_a_limit_and_every_ordinal_goes_once(
    operations: list[tuple[str, int]],
    limits: list[Limits],
    totals: list[int],
    tenant_limits: dict[str, Limits],
    hour: timedelta,
    in_flight: int,
) -> None:
    world = World(settings_with(hour, hour * 3, in_flight))
    campaigns = Campaigns(world, limits, totals, tenant_limits)
    for operation, argument in operations:
        campaigns.act(operation, argument, skew=hour / 6)
        assert sum(g.stop - g.start for g in world.outstanding) <= in_flight
    campaigns.finish()

    for number, total in enumerate(totals):
        assert world.ordinals().get(number, []) == list(range(total))
        assert_within(limits[number], world, campaigns.tenant(number), number)
    for tenant, limit in tenant_limits.items():
        assert_within(limit, world, tenant)
    assert Counter(type(m) for m in world.milestones) == {Finished: len(totals)}
    assert sum(m.sent + m.skipped for m in world.milestones if isinstance(m, Finished)) == sum(
        totals
    )
    assert sorted(r.number for r in world.retired) == list(range(len(totals)))
    assert world.tenants == {}
    assert world.dead == []


def assert_within(limits: Limits, world: World, tenant: str, number: int | None = None) -> None:
    for limit, length in (
        (limits.per_hour, world.settings.hour),
        (limits.per_day, world.settings.day),
    ):
        assert limit is None or world.most_in_any(length, tenant, number) <= limit


@settings(max_examples=40, deadline=None)
@given(shift=st.sampled_from([-600, 600]), lag=st.integers(0, 900), limit=st.integers(1, 3000))
def test_a_limit_holds_when_the_clock_of_emission_is_ten_minutes_off(
    shift: int, lag: int, limit: int
) -> None:
    world = World(settings_with())
    world.open(1, 4 * limit, limits=Limits(per_hour=limit))
    while not world.milestones:
        world.hear()
        world.pass_time(timedelta(seconds=lag))
        world.emit(clock=timedelta(seconds=shift))
        world.pass_time(timedelta(minutes=1))
        world.write(Tick())
    assert world.most_in_any(HOUR, "acme") <= limit


def test_no_hour_is_shorter_for_one_clock_ahead_and_the_next_behind() -> None:
    world, ahead = World(settings_with()), timedelta(minutes=10)
    world.open(1, 2000, limits=Limits(per_hour=1000))
    world.hear()
    world.emit(clock=ahead)
    world.pass_time(HOUR + ahead + timedelta(minutes=2))
    world.write(Tick())
    assert len(world.hear()) > 0
    world.emit(clock=-ahead)
    assert world.most_in_any(HOUR, "acme") == 1000


def test_no_hour_is_counted_twice_when_every_clock_is_set_back() -> None:
    world = World(settings_with())
    world.open(1, 3000, limits=Limits(per_hour=1000))
    world.hear()
    world.emit()
    world.pass_time(HOUR + timedelta(minutes=2))
    world.write(Tick())
    assert len(world.hear()) > 0
    world.control = -HOUR
    world.emit(clock=-HOUR)
    world.run()
    assert world.ordinals() == {1: list(range(3000))}
    assert world.most_in_any(HOUR, "acme") == 1000


@given(limit=st.integers(1, 5000), hours=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_a_limited_campaign_sends_at_98_to_100_percent_of_its_limit(limit: int, hours: int) -> None:
    world = World(settings_with())
    world.open(1, limit * (hours + 1), limits=Limits(per_hour=limit))
    world.hear()
    world.run()
    elapsed = world.sent[-1].at - world.sent[0].at
    rate = (
        limit * hours / (elapsed / HOUR)
    )  # the first hour's worth goes at once: it is what `hours` more are measured against
    assert 0.98 * limit <= rate <= limit
    assert len(world.granted) <= (hours + 1) * (limit // CHUNK + 2)  # in pieces of a sensible size


@pytest.mark.parametrize("number", [1, None])
def test_a_new_limit_acts_at_once_also_below_what_was_sent(number: int | None) -> None:
    world = World(settings_with(in_flight=1000))
    world.open(1, 9000)
    world.hear()
    for _ in range(3):
        world.emit()
        world.hear()
    world.emit()
    world.write(LimitsChanged("acme", Limits(per_hour=2000), number))
    assert world.hear() == []
    assert_waits(world, "quota", START + HOUR + timedelta(minutes=1, microseconds=1))
    world.write(LimitsChanged("acme", Limits(per_hour=4100), number))
    assert sum(g.stop - g.start for g in world.hear()) == 100
    world.write(LimitsChanged("acme", Limits(), number))
    world.hear()
    world.run()
    assert world.ordinals() == {1: list(range(9000))}


def test_new_limits_may_overtake_the_plan() -> None:
    world = World(settings_with())
    world.write(
        LimitsChanged("acme", Limits(per_hour=50), 1), LimitsChanged("acme", Limits(per_hour=30))
    )
    world.hear()
    world.open(1, 100)
    world.hear()
    world.open(2, 100, limits=Limits(per_hour=10))
    world.hear()
    assert len(world.ordinals()[1]) == 30
    world.write(LimitsChanged("acme", Limits()))
    world.hear()
    assert {number: len(ordinals) for number, ordinals in world.ordinals().items()} == {
        1: 50,
        2: 10,
    }


def test_limits_without_a_campaign_are_forgotten() -> None:
    world = World(settings_with())
    world.write(LimitsChanged("acme", Limits(per_hour=30)))
    world.hear()
    assert world.tenants["acme"].limits == Limits(per_hour=30)
    world.run()
    assert world.tenants == {}


def test_a_limit_of_nothing_lets_nothing_go() -> None:
    world = World(settings_with())
    world.open(1, 100, limits=Limits(per_day=0))
    assert world.hear() == []
    assert_waits(world, "quota")


def test_a_jump_of_the_clock_cannot_lose_what_was_counted() -> None:
    world = World(settings_with())
    world.open(1, 3000, limits=Limits(per_hour=1000))
    world.hear()
    world.emit(clock=timedelta(minutes=55))
    world.pass_time(timedelta(minutes=50))
    world.write(Tick())
    assert world.hear() == []
    world.pass_time(timedelta(minutes=60))
    world.write(Tick())
    assert world.hear() == []
    world.run()
    assert world.most_in_any(HOUR, "acme") == 1000


def test_windows_of_the_quota_expire() -> None:
    world = World(settings_with())
    world.open(1, 100_000, limits=Limits(per_hour=500))
    world.hear()
    world.run()
    rows = Counter(key.split(b"\0")[0] for key in world.stored)
    assert rows[b"minutes"] <= 2 * 2 * 122
    assert rows[b"quarters"] <= 2 * 2 * 194


def test_a_rate_limited_campaign_says_so_at_most_once_in_ten_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "agents.sending.throttle")
    world = World(settings_with())
    world.open(77, 3000, limits=Limits(per_hour=1000))
    world.hear()
    world.emit()
    world.hear()
    world.write(Tick(), RowsReady("acme", 77, 1))
    world.hear()
    (line,) = (
        record for record in caplog.records if record.message == "[THROTTLE] campaign rate limited"
    )
    fields = {
        "tenantId": "acme",
        "campaignId": "campaign-77",
        "currentRate": 0,
        "maxRate": 1000,
        "delayMs": 61 * 60_000,
    }
    assert {name: getattr(line, name) for name in fields} == fields
