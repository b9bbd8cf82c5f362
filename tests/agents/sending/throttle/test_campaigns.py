"""What becomes of a campaign in the throttle: plan, rows, pause, release, cancellation, end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings

from streams.contracts.envelope import encode
from streams.records.sending import (
    Cancelled,
    Closed,
    Finished,
    Limits,
    LimitsChanged,
    Paused,
    PlanOpened,
    Resumed,
    Retire,
    RowsReady,
    SampleSent,
    Span,
    SpansAdded,
    SpansReleased,
)
from tests.agents.sending.throttle.operations import (
    OPERATIONS,
    Campaigns,
    assert_waits,
)
from tests.agents.sending.throttle.throttle_world import START, World, settings_with


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


def test_an_empty_campaign_finishes_at_once() -> None:
    world = World(settings_with())
    world.open(1, 0)
    world.hear()
    assert world.milestones == [Finished("acme", "campaign-1", 1, 0, 0, START)]


def test_what_nobody_can_use_becomes_a_dead_letter() -> None:
    world = World(settings_with())
    plan = encode(PlanOpened("acme", "a", 1, "email", 9, (Span(0, 9, not_before=START),)))
    poison: list[Any] = [b"", b"{", b'{"type":"opened"}', b'{"type":"unknown"}', b"\xff\0"]
    poison += [
        b'{"type":"tick","x":' + b"[" * 100_000,
        plan.replace(b"Z", b""),
    ]  # the last has a local time
    world.write(*poison)
    world.open(1, 10)
    assert len(world.hear()) == 1
    assert len(world.dead) == len(poison)
