"""Work on templates beside the event loop: others go on meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from connectors.templates.beside import beside
from tests.eventually import eventually


async def test_what_takes_long_holds_up_neither_the_loop_nor_the_other_thread() -> None:
    ended, begun = threading.Event(), list[str]()

    def long(name: str) -> str:
        begun.append(name)
        assert ended.wait(300)
        return name

    waiting = asyncio.create_task(beside(lambda: long("a")))
    try:
        await eventually(lambda: begun == ["a"], 300)
        assert await beside(lambda: "done") == "done"
        assert not waiting.done()
    finally:
        ended.set()
    assert await waiting == "a"


async def test_what_the_work_raises_is_raised_and_the_next_has_its_thread() -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await beside(lambda: 1 // 0)
