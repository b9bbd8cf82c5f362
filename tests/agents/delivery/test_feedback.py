"""What a lane tells the throttle: everything once, and that a route is down, or up again."""

from __future__ import annotations

from datetime import UTC, datetime

from agents.delivery.feedback import CampaignKey, Feedback
from agents.delivery.outlets.pacing import Way
from streams.records.message_id import TESTS
from streams.records.sending import Settled

ONE, OTHER = CampaignKey("acme", 7), CampaignKey("globex", 8)
UNTIL = datetime(2026, 1, 28, 9, tzinfo=UTC)


def test_a_step_tells_what_was_settled_and_put_off_once_for_each_campaign() -> None:
    feedback = Feedback()
    for _ in range(3):
        feedback.settle(ONE)
    feedback.defer(ONE, 1)
    feedback.defer(ONE, 1)
    feedback.defer(OTHER, -1)
    feedback.defer(OTHER, 0)
    told = sorted(feedback.records(), key=lambda record: record.number)
    assert told == [Settled("acme", 7, 3, 2), Settled("globex", 8, 0, -1)]
    assert list(feedback.records()) == []


def test_a_test_message_is_nothing_to_the_throttle() -> None:
    feedback = Feedback()
    feedback.settle(CampaignKey("acme", TESTS))
    assert list(feedback.records()) == []


def test_a_route_that_goes_down_or_comes_back_is_told_when_it_does() -> None:
    feedback = Feedback()
    down = Way("route-down", UNTIL)
    told = list[list[Settled]]()
    for way in (Way(), down, down, Way("route-down"), Way(), Way()):
        feedback.note(ONE, way)
        told.append(list(feedback.records()))
    assert [[(record.reason, record.until) for record in step] for step in told] == [
        [],
        [("route-down", UNTIL)],
        [],
        [("route-down", None)],
        [(None, None)],
        [],
    ]


def test_a_campaign_is_held_up_while_one_of_its_routes_is_down_and_something_waits() -> None:
    feedback = Feedback()
    feedback.note(ONE, Way("route-down"))
    feedback.note(ONE, Way())
    feedback.settle(ONE)
    assert [record.reason for record in feedback.records()] == ["route-down"]
    feedback.settle(ONE)  # nothing waits any more
    assert [record.reason for record in feedback.records()] == [None]
