"""Work on templates beside the event loop: a tenant has one piece at a time, others go on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from connectors.templates.turns import beside, turn
from tests.eventually import eventually


async def test_what_takes_long_holds_up_neither_the_loop_nor_another_tenant() -> None:
    ended, begun = threading.Event(), list[str]()

    def long(name: str) -> str:
        begun.append(name)
        assert ended.wait(300)
        return name

    async def asked(name: str) -> str:
        async with turn("acme"):
            return await beside(lambda: long(name))

    waiting = [asyncio.create_task(asked(name)) for name in ("a", "b", "c")]
    try:
        await eventually(lambda: begun == ["a"], 300)
        async with turn("globex"):
            assert await beside(lambda: "done") == "done"
        assert begun == ["a"] and not any(task.done() for task in waiting)
    finally:
        ended.set()
    assert await asyncio.gather(*waiting) == begun == ["a", "b", "c"]


async def test_what_the_work_raises_is_raised_and_the_next_has_its_turn() -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with turn("acme"):
                await beside(lambda: 1 // 0)


def test_a_turn_belongs_to_no_event_loop() -> None:
    async def contended() -> None:
        async def one() -> None:
            async with turn("acme"):
                await asyncio.sleep(0)

        await asyncio.gather(one(), one(), one())

    for _ in range(3):
        asyncio.run(contended())
