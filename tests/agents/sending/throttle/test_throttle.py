"""The laws of the throttle, each as a property of worlds in which everything happens at the worst
moment.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contracts.envelope import encode
from streams.records.sending import (
    CHUNK,
    BatchSent,
    Cancelled,
    Closed,
    Finished,
    Limits,
    LimitsChanged,
    Opened,
    Paused,
    Resumed,
    Retire,
    RowsReady,
    SampleSent,
    Span,
    SpansAdded,
    SpansReleased,
    Tick,
)
from tables.throttle.clock import Clock
from tests.agents.sending.throttle.throttle_world import START, World, settings_with

HOUR = timedelta(hours=1)
LIMIT = st.none() | st.integers(60, 900)
LIMITS = st.builds(Limits, LIMIT, LIMIT)
VERBS = ["pass", "hear", "hear", "crash", "emit", "pause", "resume", "rows", "rows"]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 11)), min_size=20, max_size=60
)


class Campaigns:
    """Campaigns 0..n of tenants a, b, c, and operations on them that come in any order."""

    def __init__(
        self,
        world: World,
        limits: list[Limits],
        totals: list[int],
        tenant_limits: dict[str, Limits],
    ) -> None:
        self.world, self.limits, self.totals, self.tenant_limits = (
            world,
            limits,
            totals,
            tenant_limits,
        )
        for number, total in enumerate(totals):
            tenant = self.tenant(number)
            world.open(
                number,
                total,
                tenant,
                ready=total // 3,
                limits=limits[number],
                tenant_limits=tenant_limits[tenant],
            )

    def tenant(self, number: int) -> str:
        return "abc"[number % 3]

    def act(self, operation: str, argument: int, skew: timedelta) -> None:
        world, number = self.world, argument % len(self.totals)
        match operation:
            case "pass":
                world.pass_time(world.settings.hour * argument / 40)
                world.write(Tick())
            case "hear" | "crash":
                world.hear(argument + 1, crash=operation == "crash")
            case "emit":
                world.emit(
                    world.outstanding[argument % 3 :: 3],
                    skip=argument % 2 * 7,
                    clock=skew if argument % 4 == 0 else timedelta(0),
                )
            case "pause":
                world.write(Paused(self.tenant(number), f"campaign-{number}", number))
            case "resume":
                world.write(Resumed(self.tenant(number), f"campaign-{number}", number))
            case "rows":
                self.rows(number, self.totals[number] * argument // 11)

    def rows(self, number: int, stop: int) -> None:
        self.world.write(RowsReady(self.tenant(number), number, stop))

    def finish(self) -> None:
        for number, total in enumerate(self.totals):
            self.rows(number, total)
            self.act("resume", number, timedelta(0))
        self.world.hear()
        self.world.run()


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


def granted_by(world: World, field: str, values: tuple[Any, ...]) -> list[int]:
    return [
        sum(g.stop - g.start for g in world.granted if getattr(g, field) == value)
        for value in values
    ]


@given(OPERATIONS)
@settings(max_examples=60, deadline=None)
def test_a_paused_campaign_is_granted_nothing(operations: list[tuple[str, int]]) -> None:
    world = World(settings_with(in_flight=2500))
    campaigns = Campaigns(
        world,
        [Limits(per_hour=800), Limits()],
        [5000, 9000],
        {"a": Limits(), "b": Limits(), "c": Limits()},
    )
    for operation, argument in operations:
        before, heard = len(world.granted), world.heard
        campaigns.act(operation, argument, timedelta(0))
        if operation == "hear":
            for number in (0, 1):
                if is_paused(world, number, heard) and is_paused(world, number, world.heard):
                    assert not any(g.number == number for g in world.granted[before:])
    campaigns.finish()
    assert world.ordinals() == {0: list(range(5000)), 1: list(range(9000))}


def is_paused(world: World, number: int, heard: int) -> bool:
    verbs = [
        record
        for _, record in world.log[:heard]
        if isinstance(record, Paused | Resumed) and record.number == number
    ]
    return bool(verbs) and isinstance(verbs[-1], Paused)


def test_pause_and_resume_may_overtake_the_plan() -> None:
    world = World(settings_with())
    world.write(Paused("acme", "campaign-1", 1))
    world.hear()
    world.open(1, 100)
    assert world.hear() == []
    assert_waits(world, "paused")
    world.write(Resumed("acme", "campaign-1", 1))
    assert len(world.hear()) == 1


def test_a_cancelled_campaign_is_granted_nothing_and_leaves_when_drained() -> None:
    world = World(settings_with(in_flight=2000))
    world.open(1, 10_000)
    world.hear()
    world.write(Cancelled("acme", "campaign-1", 1))
    assert world.hear() == []
    assert world.retired == []
    world.emit()
    assert world.hear() == []
    assert (world.retired, world.milestones, world.tenants) == ([Retire("acme", 1)], [], {})


def test_a_campaign_that_ended_before_its_plan_came_never_starts() -> None:
    world = World(settings_with())
    world.write(Cancelled("acme", "campaign-1", 1))
    world.hear()
    world.open(1, 100)
    assert world.hear() == []
    assert (world.tenants, world.milestones) == ({}, [])


def test_a_closed_campaign_is_forgotten_whether_its_plan_came_or_not() -> None:
    world = World(settings_with())
    world.write(Cancelled("acme", "campaign-1", 1), Closed("acme", 1))
    world.open(2, 100, ready=0)
    world.write(Closed("acme", 2))
    assert world.hear() == []
    assert (world.tenants, world.milestones) == ({}, [])


def test_what_is_heard_of_a_campaign_that_never_opens_is_forgotten_after_a_day() -> None:
    world = World(settings_with())
    world.write(Paused("acme", "campaign-1", 1), LimitsChanged("acme", Limits(per_hour=100), 2))
    world.hear()
    assert set(world.tenants["acme"].campaigns) == {1, 2}
    world.run()
    assert world.tenants == {}
    assert world.now - START >= timedelta(days=1)


def test_a_plan_repeated_after_the_campaign_has_finished_starts_nothing() -> None:
    world = World(settings_with())
    world.open(1, 100)
    world.hear()
    world.run()
    world.open(1, 100)
    assert world.hear() == []
    world.pass_time(timedelta(hours=23))
    world.write(Paused("acme", "campaign-1", 1))
    world.open(1, 100)
    assert world.hear() == []
    assert (len(world.milestones), world.tenants) == (1, {})


def test_a_plan_repeated_while_the_campaign_is_sent_changes_nothing() -> None:
    world = World(settings_with(in_flight=1000))
    world.open(1, 3000)
    world.hear()
    world.open(1, 3000)
    world.hear()
    world.run()
    assert world.ordinals() == {1: list(range(3000))}


def test_held_spans_go_only_after_release_and_with_the_winner() -> None:
    world = World(settings_with())
    world.open(1, 3000, spans=(Span(0, 500), Span(500, 3000, is_held=True)))
    world.hear()
    assert world.ordinals() == {1: list(range(500))}
    assert world.milestones == []
    world.emit(skip=2)
    world.hear()
    world.hear()
    assert world.milestones == [SampleSent("acme", "campaign-1", 1, START)]
    assert_waits(world, "ab-test")
    world.write(SpansReleased("acme", 1, "B"))
    world.hear()
    world.run()
    assert world.ordinals() == {1: list(range(3000))}
    assert {(s.start >= 500, s.variant) for s in world.sent} == {(False, None), (True, "B")}
    assert world.milestones[1:] == [Finished("acme", "campaign-1", 1, 2998, 2, START)]


def test_a_span_is_not_granted_before_its_time() -> None:
    world = World(settings_with())
    noon, evening = START + timedelta(hours=3), START + timedelta(hours=9)
    world.open(
        1,
        300,
        spans=(Span(0, 100, not_before=evening), Span(100, 200, not_before=noon), Span(200, 300)),
    )
    world.hear()
    world.emit()
    world.hear()
    assert_waits(world, "not-before", noon)
    world.run()
    assert [(s.start, s.at) for s in world.sent] == [(200, START), (100, noon), (0, evening)]


def test_a_campaign_waits_for_its_rows() -> None:
    world = World(settings_with())
    world.open(1, 2500, ready=0)
    assert world.hear() == []
    assert_waits(world, "audience")
    for stop, expected in (
        (1500, [(0, 1000), (1000, 1500)]),
        (700, []),
        (2500, [(1500, 2000), (2000, 2500)]),
    ):
        world.write(RowsReady("acme", 1, stop))
        assert [(g.start, g.stop) for g in world.hear()] == expected


def test_spans_that_a_trigger_adds_are_granted_too() -> None:
    world = World(settings_with())
    world.open(1, 10)
    world.write(SpansAdded("acme", 1, (Span(10, 15),), 15), RowsReady("acme", 1, 15))
    world.hear()
    assert world.ordinals() == {1: list(range(15))}


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


def test_an_empty_campaign_finishes_at_once() -> None:
    world = World(settings_with())
    world.open(1, 0)
    world.hear()
    assert world.milestones == [Finished("acme", "campaign-1", 1, 0, 0, START)]


def test_what_nobody_can_use_becomes_a_dead_letter() -> None:
    world = World(settings_with())
    plan = encode(Opened("acme", "a", 1, "email", 9, (Span(0, 9, not_before=START),)))
    poison: list[Any] = [b"", b"{", b'{"type":"opened"}', b'{"type":"unknown"}', b"\xff\0"]
    poison += [
        b'{"type":"tick","x":' + b"[" * 100_000,
        plan.replace(b"Z", b""),
    ]  # the last has a local time
    world.write(*poison)
    world.open(1, 10)
    assert len(world.hear()) == 1
    assert len(world.dead) == len(poison)


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


def assert_waits(world: World, reason: str, until: Any = None) -> None:
    (waiting,) = (campaign.waiting for campaign in world.tenants["acme"].campaigns.values())
    assert waiting is not None
    assert (waiting.reason, waiting.until) == (reason, until)


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
