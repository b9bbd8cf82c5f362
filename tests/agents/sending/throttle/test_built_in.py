"""A built-in campaign goes as fast as its route takes it, and is never far ahead of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.records.sending import Settled, Tick
from tables.throttle.delivering import KEPT, LEAST, MOST, MOST_DEFERRED, SILENT
from tables.throttle.state import Waiting
from tests.agents.sending.throttle.throttle_world import START, World, settings_with

_STEP = timedelta(milliseconds=100)


class Route:
    """A way out that settles at most `rate` messages a second, each `latency` after it was sent."""

    def __init__(self, world: World, rate: int, latency: timedelta = timedelta(0)) -> None:
        self.world, self.rate, self.latency = world, rate, latency
        self.settled, self._seen = 0, 0
        self._sent = deque[tuple[datetime, int]]()

    def pass_time(self) -> None:
        """A tenth of a second, in which emission sends whatever is granted."""
        self.world.emit()
        for one in self.world.sent[self._seen :]:
            self._sent.append((one.at, one.stop - one.start))
        self._seen = len(self.world.sent)
        self.world.pass_time(_STEP)
        done, most = 0, self.rate // 10
        while self._sent and done < most and self._sent[0][0] + self.latency <= self.world.now:
            at, count = self._sent.popleft()
            taken = min(count, most - done)
            done += taken
            if taken < count:
                self._sent.appendleft((at, count - taken))
        self.settled += done
        if done:
            self.world.write(Settled("acme", 0, done))
        self.world.hear()

    @property
    def on_their_way(self) -> int:
        return sum(grant.stop - grant.start for grant in self.world.granted) - self.settled


def steps(route: Route, total: int, within: timedelta) -> Iterator[None]:
    """Time passes until all is settled."""
    end = route.world.now + within
    while route.settled < total:
        assert route.world.now < end, route.settled
        route.pass_time()
        yield


@pytest.mark.parametrize("rate", [10, 300, 5_000])
def test_a_slow_route_is_kept_busy_and_not_flooded(rate: int) -> None:
    world, total = World(settings_with()), rate * 60
    world.open(0, total, is_built_in=True)
    world.hear()
    route = Route(world, rate)
    for _ in steps(route, total, within=timedelta(seconds=63)):
        assert route.on_their_way <= max(LEAST, 2 * rate)
    assert world.ordinals() == {0: list(range(total))}


def test_a_fast_route_far_away_is_found_to_be_fast() -> None:
    world, total = World(settings_with()), 400_000
    world.open(0, total, is_built_in=True)
    world.hear()
    route = Route(world, rate=1_000_000, latency=timedelta(milliseconds=500))
    for _ in steps(route, total, within=timedelta(seconds=30)):
        assert route.on_their_way <= MOST


def test_a_route_that_takes_nothing_stands_still_and_says_so_until_it_takes_some() -> None:
    world, until = World(settings_with()), START + timedelta(minutes=5)
    world.open(0, 50_000, is_built_in=True)
    world.hear()
    world.emit()
    world.hear()
    assert len(world.ordinals()[0]) == LEAST
    assert _waiting(world) is None  # it has just moved
    world.pass_time(SILENT)
    world.write(Tick())
    world.hear()
    assert _waiting(world) == Waiting("route-limit")
    world.write(Settled("acme", 0, reason="route-down", until=until))
    world.hear()
    assert _waiting(world) == Waiting("route-down", until)
    world.write(Settled("acme", 0, LEAST))
    world.hear()
    assert _waiting(world) is None
    assert len(world.ordinals()[0]) > LEAST


def _waiting(world: World) -> Waiting | None:
    return world.tenants["acme"].campaigns[0].waiting


def test_a_paused_campaign_says_that_it_is_paused_and_a_campaign_of_others_knows_no_route() -> None:
    world = World(settings_with())
    world.open(0, 5_000, is_built_in=True, is_paused=True)
    world.open(1, 50_000)
    world.run()
    assert _waiting(world) == Waiting("paused")
    assert len(world.ordinals()[1]) == 50_000


def test_messages_that_are_put_off_make_room_up_to_a_bound() -> None:
    world = World(settings_with())
    world.open(0, 50_000, is_built_in=True)
    for _ in range(100):
        world.hear()
        world.emit()
        waiting = len(world.ordinals()[0]) - world_deferred(world)
        world.write(Settled("acme", 0, deferred=waiting))
        world.hear()
    assert MOST_DEFERRED <= len(world.ordinals()[0]) < MOST_DEFERRED + MOST
    granted = len(world.ordinals()[0])
    world.write(Settled("acme", 0, settled=5_000, deferred=-5_000))
    world.hear()
    assert len(world.ordinals()[0]) > granted


def world_deferred(world: World) -> int:
    way = world.tenants["acme"].campaigns[0].delivering
    return 0 if way is None else way.deferred


def test_messages_that_kafka_has_deleted_do_not_hold_up_the_rest_for_ever() -> None:
    world = World(settings_with())
    world.open(0, 3 * LEAST, is_built_in=True)
    world.run(until=KEPT * 4)  # nothing is ever settled
    assert world.ordinals() == {0: list(range(3 * LEAST))}
    assert world.now >= START + 2 * KEPT


@given(st.lists(st.sampled_from(["hear", "crash", "emit", "settle", "defer", "retry"])))
@settings(max_examples=80, deadline=None)
def test_whatever_the_route_does_everybody_is_granted_once(operations: list[str]) -> None:
    world, total = World(settings_with()), 6_500
    world.open(0, total, is_built_in=True)
    sent = deferred = settled = 0
    for operation in operations:
        match operation:
            case "hear" | "crash":
                world.hear(crash=operation == "crash")
            case "emit":
                world.emit()
                sent = sum(one.stop - one.start for one in world.sent)
            case "settle":
                count = (sent - settled - deferred + 1) // 2
                settled += count
                world.write(Settled("acme", 0, count))
            case "defer":
                count = (sent - settled - deferred + 1) // 2
                deferred += count
                world.write(Settled("acme", 0, deferred=count))
            case _:
                count, deferred = deferred, 0
                settled += count
                world.write(Settled("acme", 0, count, -count))
        assert sum(map(len, world.ordinals().values())) - settled - deferred <= MOST
    for _ in range(40):
        world.hear()
        world.emit()
        sent = sum(one.stop - one.start for one in world.sent)
        world.write(Settled("acme", 0, sent - settled, -deferred), Tick())
        settled, deferred = sent, 0
    assert world.ordinals() == {0: list(range(total))}
    assert [milestone.sent for milestone in world.milestones] == [total]  # type: ignore[union-attr]
