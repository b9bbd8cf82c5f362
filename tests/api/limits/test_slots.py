"""The slots of tenants: never more than a room has, none idle while one is waited for, and the
tenant with the fewest comes first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.app import CONNECTIONS
from api.limits.slots import CHECKS, LOOK_UPS, READS, ROOMS, WRITES, Room, Slots, _Places
from streams.errors import RateLimitedError
from tests.eventually import eventually

_ROOM = Room("things", 2, 3, waiting=4, patience=timedelta(minutes=5))


def test_work_that_may_wait_leaves_connections_for_reads_and_for_recipients() -> None:
    taken = sum(room.every for room in ROOMS if room not in (READS, LOOK_UPS, CHECKS))
    assert taken + 4 <= CONNECTIONS
    assert READS.every > READS.each and WRITES.every > WRITES.each


async def test_a_tenant_has_its_slots_and_what_is_more_waits_for_them() -> None:
    places = _Places(_ROOM)
    for _ in range(_ROOM.each):
        await places.take("acme")
    third = asyncio.create_task(places.take("acme"))
    await asyncio.wait_for(places.take("globex"), 300)
    assert not third.done()
    places.give_back("acme")
    await asyncio.wait_for(third, 300)
    assert places.taken == 3


async def test_who_finds_no_room_to_wait_is_refused_with_the_limit() -> None:
    places = _Places(_ROOM)
    for _ in range(_ROOM.each):
        await places.take("acme")
    waiting = [asyncio.create_task(places.take("acme")) for _ in range(_ROOM.waiting)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimitedError, match="2 things of one tenant at once and 4 that wait"):
        await places.take("acme")
    await places.take("globex")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    places.give_back("acme")
    await asyncio.wait_for(places.take("acme"), 300)  # nobody stands in the way any more


async def test_who_waits_too_long_is_refused_and_leaves_nothing_behind() -> None:
    places = _Places(replace(_ROOM, patience=timedelta(0)))
    for _ in range(_ROOM.each):
        await places.take("acme")
    with pytest.raises(RateLimitedError):
        await places.take("acme")
    places.give_back("acme")
    places.give_back("acme")
    assert (places.taken, places._waiting, places._taken) == (0, {}, {})


async def test_a_free_slot_goes_to_the_tenant_that_has_the_fewest() -> None:
    places = _Places(replace(_ROOM, waiting=100))
    for tenant in ("acme", "acme", "globex"):
        await places.take(tenant)
    order = list[str]()

    async def one(tenant: str) -> None:
        await places.take(tenant)
        order.append(tenant)

    tasks = [asyncio.create_task(one("acme")) for _ in range(50)]
    tasks += [asyncio.create_task(one(tenant)) for tenant in ("globex", "initech")]
    await asyncio.sleep(0)
    places.give_back("acme")
    await eventually(lambda: order == ["initech"])
    places.give_back("globex")
    await eventually(lambda: order == ["initech", "globex"])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_slot_is_given_back_whatever_the_work_comes_to() -> None:
    slots = Slots()
    for _ in range(2 * WRITES.every):
        with pytest.raises(ZeroDivisionError):
            async with slots.slot(WRITES, "acme"):
                1 / 0  # noqa: B018
    async with AsyncExitStack() as stack:
        for _ in range(WRITES.each):
            await stack.enter_async_context(slots.slot(WRITES, "acme"))
        assert slots.of(WRITES).taken == WRITES.each
    assert slots.of(WRITES).taken == 0


_steps = st.lists(
    st.tuples(st.sampled_from(["take", "give back", "cancel"]), st.sampled_from("abcd")),
    max_size=60,
)


@given(_steps, st.integers(1, 3), st.integers(1, 4))
def test_no_room_is_overfull_and_no_slot_idle_while_one_is_waited_for(
    steps: list[tuple[str, str]], each: int, every: int
) -> None:
    async def play() -> None:
        room = Room("things", each, every, waiting=50, patience=timedelta(hours=1))
        places, waiting = _Places(room), list[tuple[str, asyncio.Task[None]]]()
        held = Counter[str]()
        for what, tenant in steps:
            if what == "take":
                waiting.append((tenant, asyncio.create_task(places.take(tenant))))
            elif what == "give back" and held[tenant]:
                held[tenant] -= 1
                places.give_back(tenant)
            elif what == "cancel":
                for name, task in waiting:
                    if name == tenant:
                        task.cancel()
            for _ in range(4):
                await asyncio.sleep(0)
            for name, task in list(waiting):
                if task.done():
                    waiting.remove((name, task))
                    held[name] += not task.cancelled()
            assert held.total() == places.taken <= every
            assert max(held.values(), default=0) <= each
            idle = [name for name, _ in waiting if held[name] < each]
            assert not idle or held.total() == every
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        for name, count in held.items():
            for _ in range(count):
                places.give_back(name)
        assert (places.taken, places._waiting, places._taken) == (0, {}, {})

    asyncio.run(play())
