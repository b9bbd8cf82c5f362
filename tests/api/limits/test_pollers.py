"""One poller looks for all event streams of a tenant, seldom while nothing changes; their number is
limited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from itertools import count

import pytest

from api.limits import pollers
from api.limits.pollers import Pollers, Reader, Topic
from streams.errors import DependencyDownError, RateLimitedError
from tests.eventually import eventually


class Seen:
    """What a test lets the streams of a tenant show: each topic and its number."""

    def __init__(self) -> None:
        self.reads = list[tuple[Topic, ...]]()
        self.turns, self.memory = 0, 0
        self.texts: dict[Topic, str | None] = {}
        self.is_down = False

    async def read(self, topics: Collection[Topic]) -> None:
        self.reads.append(tuple(topics))
        if self.is_down:
            raise DependencyDownError("down")

    def version(self) -> object:
        self.turns += 1
        return self.memory

    def shown(self) -> Mapping[Topic, str | None]:
        return self.texts


async def good() -> bool:
    return True


async def texts(reader: Reader, into: list[str], credential: str = "key") -> None:
    async for text in reader.texts(credential, good):
        into.append(text)


async def test_sixty_streams_of_a_tenant_cost_what_one_costs() -> None:
    """Without a change PostgreSQL is asked less often than at every turn, for all of them."""
    seen, everything = Seen(), Pollers()
    seen.texts = {"overview": "1", "a": "1"}
    asked = count()

    async def is_good() -> bool:
        next(asked)
        return True

    async def one(reader: Reader, into: list[str]) -> None:
        async for text in reader.texts("key", is_good):
            into.append(text)

    async with AsyncExitStack() as stack:
        heard: list[list[str]] = [[] for _ in range(40)]
        tasks = list[asyncio.Task[None]]()
        for place, into in enumerate(heard):
            topic = "a" if place % 2 else "overview"
            reader = await stack.enter_async_context(
                everything.reader("acme", f"key {place % 4}", topic, lambda: seen)
            )
            tasks.append(asyncio.create_task(one(reader, into)))
        await eventually(lambda: all(into == ["1"] for into in heard))
        await eventually(lambda: seen.turns >= 10)
        assert len(seen.reads) <= seen.turns // 2 + 1
        assert set(seen.reads[-1]) == {"overview", "a"}
        assert next(asked) <= 1 + seen.turns * pollers.TURN / 5
        seen.texts = {"overview": "2", "a": "1"}
        seen.memory += 1
        await eventually(lambda: all(into == ["1", "2"] for into in heard[::2]))
        assert all(into == ["1"] for into in heard[1::2])
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert everything._of == {} and not everything._open


async def test_what_memory_knows_is_shown_at_the_next_turn_without_a_read() -> None:
    seen, everything, into = Seen(), Pollers(), list[str]()
    seen.texts = {"a": "1"}
    async with everything.reader("acme", "key", "a", lambda: seen) as reader:
        task = asyncio.create_task(texts(reader, into))
        await eventually(lambda: into == ["1"])
        await eventually(lambda: seen.turns >= 8)
        reads = len(seen.reads)
        seen.texts, seen.memory = {"a": "2"}, 1
        await eventually(lambda: into == ["1", "2"])
        assert len(seen.reads) <= reads + 1
        task.cancel()
        await asyncio.wait([task])


async def test_after_a_write_of_the_tenant_its_poller_reads_at_its_next_turn() -> None:
    seen, everything = Seen(), Pollers()
    seen.texts = {"a": "1"}
    async with everything.reader("acme", "key", "a", lambda: seen):
        await eventually(lambda: seen.turns >= 8)  # it has become slow
        for _ in range(3):
            turns, reads = seen.turns, len(seen.reads)
            everything.nudge("acme")
            await eventually(lambda: seen.turns >= turns + 2)  # noqa: B023
            assert len(seen.reads) > reads
    everything.nudge("acme")  # there is none any more


async def test_a_reader_joins_with_what_is_known_and_leaves_when_its_topic_is_gone() -> None:
    seen, everything, into = Seen(), Pollers(), list[str]()
    seen.texts = {"a": "1"}
    async with (
        everything.reader("acme", "key", "a", lambda: seen) as first,
        everything.reader("acme", "key", "a", lambda: seen) as second,
    ):
        await asyncio.wait_for(anext(first.texts("key", good)), 300)
        await asyncio.wait_for(anext(second.texts("key", good)), 300)
        async with everything.reader("acme", "key", "a", lambda: seen) as third:
            assert await asyncio.wait_for(anext(third.texts("key", good)), 300) == "1"
        task = asyncio.create_task(texts(second, into))
        seen.texts = {"a": None}
        seen.memory += 1
        await asyncio.wait_for(task, 300)
        assert into == []


async def test_while_postgresql_is_away_streams_keep_what_they_have() -> None:
    seen, everything, into = Seen(), Pollers(), list[str]()
    seen.texts = {"a": "1"}

    async def nobody_can_tell() -> bool:
        raise DependencyDownError("down")

    async def one(reader: Reader) -> None:
        async for text in reader.texts("key", nobody_can_tell):
            into.append(text)

    async with everything.reader("acme", "key", "a", lambda: seen) as reader:
        task = asyncio.create_task(one(reader))
        await eventually(lambda: into == ["1"])
        seen.is_down, reads = True, len(seen.reads)
        await eventually(lambda: len(seen.reads) >= reads + 2)
        assert not task.done()
        seen.is_down, seen.texts, seen.memory = False, {"a": "2"}, 1
        await eventually(lambda: into == ["1", "2"])
        task.cancel()
        await asyncio.wait([task])


async def test_a_credential_that_is_not_good_any_more_ends_its_streams_only() -> None:
    seen, everything = Seen(), Pollers()
    seen.texts = {"a": "1"}

    async def bad() -> bool:
        return False

    async with everything.reader("acme", "key", "a", lambda: seen) as reader:
        assert [text async for text in reader.texts("revoked", bad)] == []
        assert await asyncio.wait_for(anext(reader.texts("key", good)), 300) == "1"


async def test_a_bug_ends_the_streams_instead_of_leaving_them_silent() -> None:
    class Broken(Seen):
        def shown(self) -> Mapping[Topic, str | None]:
            raise ZeroDivisionError

    everything = Pollers()
    async with everything.reader("acme", "key", "a", Broken) as reader:
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(anext(reader.texts("key", good)), 300)


@pytest.mark.parametrize(
    ("keys", "limit", "whose"),
    [
        (1, pollers.STREAMS_PER_KEY, "of one key or user"),
        (10, pollers.STREAMS_PER_TENANT, "of one tenant"),
    ],
)
async def test_a_tenant_has_so_many_streams_and_another_one_its_own(
    keys: int, limit: int, whose: str
) -> None:
    everything = Pollers()
    async with AsyncExitStack() as stack:
        for place in range(limit):
            key = f"key {place % keys}"
            await stack.enter_async_context(everything.reader("acme", key, "a", Seen))
        with pytest.raises(RateLimitedError, match=f"{limit} event streams {whose}"):
            await stack.enter_async_context(everything.reader("acme", "key 0", "a", Seen))
        await stack.enter_async_context(everything.reader("globex", "key", "a", Seen))
    async with everything.reader("acme", "key 0", "a", Seen):
        pass


async def test_a_process_has_so_many_streams() -> None:
    everything = Pollers()
    async with AsyncExitStack() as stack:
        for place in range(pollers.STREAMS):
            tenant = f"tenant {place % 40}"
            await stack.enter_async_context(everything.reader(tenant, f"key {place}", "a", Seen))
        with pytest.raises(RateLimitedError, match="of all tenants"):
            await stack.enter_async_context(everything.reader("another", "key", "a", Seen))
    assert everything._of == {}
