"""Which route takes a message: by priority and weight; the next one while the first is down."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.delivery.outlets.choice import chosen, way_of
from agents.delivery.outlets.outlet import Outlet
from agents.delivery.outlets.pacing import Way
from tables.tenants.route_usage import Reserved
from tests.connectors.routes.given import route, settings

_SETTINGS = settings()


def outlet(name: str, **changes: Any) -> Outlet:
    return Outlet(_SETTINGS, f"acme/{name}", route(**changes), None, datetime.now(UTC))


def names(fitting: list[Outlet], count: int = 1, full: tuple[str, ...] = ()) -> Counter[str]:
    """The routes that take so many messages."""
    taken = (
        chosen(fitting, f"message {number}", lambda one: one.label not in full)
        for number in range(count)
    )
    return Counter("nobody" if one is None else one.label for one in taken)


def test_the_lowest_priority_takes_all_while_it_is_up_also_when_it_is_busy() -> None:
    fitting = [outlet("first", priority=1), outlet("second", priority=2)]
    assert names(fitting, 50) == {"acme/first": 50}
    assert names(fitting, full=("acme/first",)) == {"nobody": 1}


def test_the_next_takes_over_while_the_first_is_paused_or_down_but_for_a_probe() -> None:
    first, second = outlet("first", priority=1), outlet("second", priority=2)
    first.is_paused = True
    assert names([first, second], full=("acme/first",)) == {"acme/second": 1}
    first.is_paused = False
    first._breaker.failed(0.0)
    assert names([first, second], full=("acme/first",)) == {"acme/second": 1}
    assert names([first, second]) == {"acme/first": 1}  # its probe
    first._breaker.succeeded()
    assert names([first, second], full=("acme/first",)) == {"nobody": 1}


def test_routes_of_one_priority_share_by_weight_and_each_helps_a_busy_one() -> None:
    fitting = [outlet("large", weight=300), outlet("small", weight=100)]
    taken = names(fitting, 4_000)
    assert 2_800 < taken["acme/large"] < 3_200
    assert taken["acme/large"] + taken["acme/small"] == 4_000
    assert names(fitting, 10, full=("acme/large",)) == {"acme/small": 10}
    assert names(fitting, 10, full=("acme/large", "acme/small")) == {"nobody": 10}


def test_a_route_that_warms_up_leaves_the_rest_to_the_next_only_if_it_says_so() -> None:
    now, second = datetime.now(UTC), outlet("second", priority=2)
    for overflow, taken in (("wait", "nobody"), ("next", "acme/second")):
        warmup = {"startsAt": now.date().isoformat(), "overflow": overflow}
        first = outlet("first", warmup=warmup)
        first.reserved(Reserved(now, 0, until=now), 0.0, timedelta(minutes=1))
        assert first.way.reason == "warming-up"
        assert names([first, second], full=("acme/first",)) == {taken: 1}


def test_a_limit_that_is_reached_is_waited_for() -> None:
    now = datetime.now(UTC)
    first, second = outlet("first", limits={"perHour": 9}), outlet("second", priority=2)
    first.reserved(Reserved(now, 0, until=now), 0.0, timedelta(minutes=1))
    assert first.way == Way("route-limit", now)
    assert names([first, second], full=("acme/first",)) == {"nobody": 1}


def test_messages_are_held_up_when_every_route_is_down_until_the_first_probe() -> None:
    one, other = outlet("one"), outlet("other")
    assert way_of([]) == Way("route-down")
    one.is_paused = True
    assert way_of([one]) == Way("route-down")
    assert way_of([one, other]) == Way()
    soon, later = (datetime.now(UTC) + timedelta(minutes=minutes) for minutes in (1, 2))
    one.is_paused = False
    for down, until in ((one, later), (other, soon)):
        down._breaker.failed(0.0)
        down._down_until = until
    assert way_of([one, other]) == Way("route-down", soon)
