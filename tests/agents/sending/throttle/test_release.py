"""The winner of an A/B test reaches the throttle: early, late or twice, everybody held back goes
once, with it, within the limits.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from streams.records.sending import (
    Cancelled,
    Finished,
    Limits,
    PlanOpened,
    RowsReady,
    SampleSent,
    Span,
    SpansReleased,
)
from tests.agents.sending.throttle.throttle_world import World, settings_with

TOTAL, CUT = 3000, 600
SPANS = (Span(0, CUT), Span(CUT, TOTAL, is_held=True))
PLAN = (PlanOpened("acme", "campaign-1", 1, "email", TOTAL, SPANS), RowsReady("acme", 1, TOTAL))
WON, OTHER = SpansReleased("acme", 1, "B"), SpansReleased("acme", 1, "A")


def variants(world: World) -> dict[int, str | None]:
    """Ordinal -> what it was sent with; fails for one that was sent twice."""
    found: dict[int, str | None] = {}
    for sent in world.sent:
        assert not found.keys() & range(sent.start, sent.stop)
        found |= dict.fromkeys(range(sent.start, sent.stop), sent.variant)
    return found


@given(st.integers(0, 2), st.integers(1, 3), st.booleans())
def test_whenever_the_release_comes_everybody_goes_once_and_the_rest_with_the_first_winner(
    at: int, most: int, crash: bool
) -> None:
    world = World(settings_with())
    records = [*PLAN[:at], WON, OTHER, WON, *PLAN[at:]]
    world.write(*records)
    if crash:
        world.hear(1, crash=True)
    while world.heard < len(world.log):
        world.hear(most)
    world.run()
    assert variants(world) == {ordinal: None if ordinal < CUT else "B" for ordinal in range(TOTAL)}
    assert [type(milestone) for milestone in world.milestones] == [
        Finished
    ]  # the sample never stood alone
    assert world.dead == []


def test_a_release_after_the_sample_and_one_after_the_end_change_nothing_more() -> None:
    world = World(settings_with())
    world.write(*PLAN)
    world.hear()
    world.run()
    assert len(variants(world)) == CUT
    world.write(WON)
    world.hear()
    world.run()
    assert [type(milestone) for milestone in world.milestones] == [SampleSent, Finished]
    world.write(OTHER)
    world.hear()
    world.run()
    assert len(variants(world)) == TOTAL
    assert world.tenants == {} or not world.tenants["acme"].campaigns


def test_a_cancelled_campaign_releases_nobody() -> None:
    world = World(settings_with())
    world.write(WON, Cancelled("acme", "campaign-1", 1), *PLAN)
    world.hear()
    world.run()
    assert variants(world) == {}


def test_who_was_held_back_is_throttled_as_anybody_else() -> None:
    hour = timedelta(hours=1)
    world = World(settings_with(hour))
    spans = (Span(0, CUT), Span(CUT, TOTAL, is_held=True))
    world.write(
        PlanOpened("acme", "campaign-1", 1, "email", TOTAL, spans, Limits(per_hour=1000)),
        PLAN[1],
        WON,
    )
    world.hear()
    world.run()
    assert len(variants(world)) == TOTAL
    assert world.most_in_any(hour, "acme", 1) <= 1000
