"""Who gets how much of what may go: the cap, equal shares, whole chunks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.records.sending import (
    CHUNK,
    BatchSent,
    Limits,
    Tick,
)
from tables.throttle.clock import Clock
from tests.agents.sending.throttle.operations import (
    LIMITS,
    granted_by,
)
from tests.agents.sending.throttle.throttle_world import World, settings_with


# Up to four chunks the setting alone is the cap; beyond, what emission does in a second counts,
# too.
@given(
    in_flight=st.integers(100, 4 * CHUNK),
    totals=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_what_may_go_is_granted_unless_the_cap_is_reached(
    in_flight: int, totals: list[int]
) -> None:
    world = World(settings_with(in_flight=in_flight))
    for number, total in enumerate(totals):
        world.open(number, total)
    while len(world.milestones) != len(totals):
        world.hear()
        left = sum(totals) - sum(g.stop - g.start for g in world.granted)
        flying = sum(g.stop - g.start for g in world.outstanding)
        assert flying <= in_flight
        assert flying or not left
        assert left == 0 or flying + min(CHUNK, in_flight) > in_flight
        world.emit(world.outstanding[: 1 + len(world.outstanding) // 3])


@given(
    batches=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5000), st.integers(0, 500)), max_size=30
    ),
    most=st.integers(100, 50_000),
)
def test_no_more_is_in_flight_than_emission_does_in_a_second(
    batches: list[tuple[int, int, int]], most: int
) -> None:
    clock, done, at = Clock(), Counter[int](), 0
    for pause, sent, skipped in batches:
        at += pause
        done[at] += sent + skipped
        heard = BatchSent("acme", 1, sent, skipped)
        clock = clock.after(
            heard, datetime(2026, 11, 24, tzinfo=UTC) + timedelta(seconds=at), timedelta(hours=1)
        )
    assert clock.cap(most) == min(most, max(4 * CHUNK, done[at], done[at - 1]))


def test_an_unlimited_campaign_goes_in_whole_chunks() -> None:
    world = World(settings_with(in_flight=4500))
    world.open(1, 10_500)
    world.hear()
    world.run()
    assert [(g.start, g.stop) for g in world.granted] == [
        (n, min(n + CHUNK, 10_500)) for n in range(0, 10_500, CHUNK)
    ]


@given(
    limits=LIMITS,
    tenant_limits=LIMITS,
    in_flight=st.sampled_from([1000, 30_000]),
    burst=st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_campaigns_of_a_tenant_get_equal_shares(
    limits: Limits, tenant_limits: Limits, in_flight: int, burst: int
) -> None:
    world = World(settings_with(in_flight=in_flight))
    for number in (1, 2, 3):
        world.open(number, 20_000, limits=limits, tenant_limits=tenant_limits)
    world.hear()
    for _ in range(200):
        world.emit(world.outstanding[:burst])
        world.pass_time(timedelta(minutes=7))
        world.write(Tick())
        world.hear()
        counts = granted_by(world, "number", (1, 2, 3))
        if max(counts) < 20_000:
            assert max(counts) - min(counts) <= 2 * CHUNK


def test_campaigns_that_share_a_small_quota_get_it_in_equal_parts() -> None:
    world = World(settings_with())
    for number in (1, 2, 3):
        world.open(number, 900, tenant_limits=Limits(per_hour=300))
    world.hear()
    assert granted_by(world, "number", (1, 2, 3)) == [100, 100, 100]


@given(burst=st.integers(1, 30), others=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_a_tenant_with_one_campaign_gets_as_much_as_one_with_many(burst: int, others: int) -> None:
    world = World(settings_with(in_flight=10_000))
    for number in range(others):
        world.open(number, 50_000, "many")
    world.hear()
    world.emit()
    world.hear()
    at_start = granted_by(world, "tenant_id", ("many",))[0]
    world.open(9, 50_000, "one")
    for _ in range(100):
        world.hear()
        world.emit(world.outstanding[:burst])
        many, one = granted_by(world, "tenant_id", ("many", "one"))
        if one < 50_000 and many < others * 50_000:
            assert abs(many - at_start - one) <= 2 * CHUNK
