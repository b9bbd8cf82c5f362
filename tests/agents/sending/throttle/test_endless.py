"""A campaign that is added to until it is cancelled: everybody added goes once, within the limits,
and the campaign stays.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contracts.envelope import encode
from streams.records.sending import (
    Cancelled,
    Limits,
    Paused,
    Resumed,
    Retire,
    RowsReady,
    Span,
    SpansAdded,
    Tick,
)
from tests.agents.sending.throttle.throttle_world import World, settings_with

HOUR = timedelta(hours=1)
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["trigger", "trigger", "repeat", "pass", "hear", "crash", "emit", "pause", "resume"]
        ),
        st.integers(1, 1500),
    ),
    min_size=5,
    max_size=60,
)


class Triggered:
    """Campaign 1 of acme; `added` is how many have been triggered."""

    def __init__(self, limits: Limits | None = None, in_flight: int = 30_000) -> None:
        self.world, self.added = World(settings_with(in_flight=in_flight)), 0
        self.records: list[SpansAdded] = []
        self.world.open(1, 0, spans=(), limits=limits or Limits(), is_endless=True)

    def trigger(self, count: int) -> None:
        before, self.added = self.added, self.added + count
        self.records.append(SpansAdded("acme", 1, (Span(before, self.added),), self.added))
        self.world.write(self.records[-1], RowsReady("acme", 1, self.added))

    def act(self, operation: str, argument: int) -> None:
        world = self.world
        match operation:
            case "trigger":
                self.trigger(argument)
            case "repeat" if self.records:
                record = self.records[argument % len(self.records)]
                world.write(record, RowsReady("acme", 1, record.total))
            case "pass":
                world.pass_time(HOUR * argument / 1500)
                world.write(Tick())
            case "hear" | "crash":
                world.hear(argument % 7 + 1, crash=operation == "crash")
            case "emit":
                world.emit(world.outstanding[argument % 3 :: 3], skip=argument % 2 * 7)
            case "pause":
                world.write(Paused("acme", "campaign-1", 1))
            case "resume":
                world.write(Resumed("acme", "campaign-1", 1))

    def spans(self) -> tuple[Span, ...]:
        return self.world.tenants["acme"].campaigns[1].spans


@settings(max_examples=80, deadline=None)
@given(
    operations=OPERATIONS,
    per_hour=st.none() | st.integers(100, 2000),
    in_flight=st.sampled_from([100, 4000]),
)
def test_everybody_who_is_triggered_is_granted_once_within_the_limit(
    operations: list[tuple[str, int]], per_hour: int | None, in_flight: int
) -> None:
    campaign = Triggered(Limits(per_hour=per_hour), in_flight)
    world = campaign.world
    for operation, argument in operations:
        campaign.act(operation, argument)
    world.write(Resumed("acme", "campaign-1", 1))
    world.hear()
    assert len(campaign.spans()) <= 1  # however many triggers there were
    world.run()
    assert world.ordinals().get(1, []) == list(range(campaign.added))
    assert per_hour is None or world.most_in_any(HOUR, "acme", 1) <= per_hour
    assert (world.milestones, world.retired) == ([], [])
    world.write(Cancelled("acme", "campaign-1", 1))
    world.hear()
    assert (world.milestones, world.retired, world.tenants) == ([], [Retire("acme", 1)], {})


def test_a_campaign_without_anybody_waits_for_nothing_and_for_ever() -> None:
    campaign = Triggered()
    campaign.world.hear()
    campaign.world.pass_time(timedelta(days=90))
    campaign.world.write(Tick())
    campaign.world.hear()
    [sending] = campaign.world.tenants["acme"].campaigns.values()
    assert (sending.waiting, sending.is_sample_sent, campaign.world.milestones) == (None, False, [])


def test_what_is_added_after_a_cancel_is_not_sent() -> None:
    campaign = Triggered()
    campaign.trigger(10)
    campaign.world.hear()
    campaign.world.write(Cancelled("acme", "campaign-1", 1))
    campaign.trigger(5)
    campaign.world.hear()
    campaign.world.run()
    assert campaign.world.ordinals() == {1: list(range(10))}
    assert campaign.world.tenants == {}


def test_a_million_triggers_of_one_contact_while_paused_are_one_span_and_a_small_row() -> None:
    campaign = Triggered()
    campaign.world.write(Paused("acme", "campaign-1", 1))
    for _ in range(2000):
        campaign.trigger(1)
    campaign.world.hear()
    assert campaign.spans() == (Span(0, 2000),)
    assert len(encode(campaign.world.tenants["acme"])) < 1000


def test_spans_under_other_conditions_are_kept_apart() -> None:
    world = World(settings_with())
    world.open(1, 0, spans=(), is_endless=True)
    world.write(Paused("acme", "campaign-1", 1))
    spans = (Span(0, 5), Span(5, 9, "A"), Span(9, 12, "A"), Span(20, 22, "A"))
    world.write(SpansAdded("acme", 1, spans, 22))
    world.hear()
    assert world.tenants["acme"].campaigns[1].spans == (
        Span(0, 5),
        Span(5, 12, "A"),
        Span(20, 22, "A"),
    )
    assert Counter(type(m) for m in world.milestones) == {}
