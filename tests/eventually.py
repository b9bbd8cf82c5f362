"""Waits for facts instead of sleeping: asks again and again until a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

T = TypeVar("T")
PAUSE = 0.02  # seconds between two questions


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T]], within: float = ..., every: float = ...
) -> T: ...
@overload
async def eventually(predicate: Callable[[], T], within: float = ..., every: float = ...) -> T: ...


async def eventually(
    predicate: Callable[[], object], within: float = 300, every: float = PAUSE
) -> object:
    """The first truthy answer of `predicate`, plain or async, which is asked `every` so many
    seconds; an AssertionError inside it counts as "not yet".

    Raises AssertionError after `within` seconds, with the last answer or assertion.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            answer = predicate()
            last = await answer if inspect.isawaitable(answer) else answer
        except AssertionError as failed:
            last = failed
        if _is_fact(last):
            return last
        _give_up_after(deadline, within, last)
        await asyncio.sleep(every)


def eventually_sync(predicate: Callable[[], T], within: float = 300) -> T:
    """`eventually` for tests without an event loop."""
    deadline = time.monotonic() + within
    while True:
        try:
            last: object = predicate()
        except AssertionError as failed:
            last = failed
        if _is_fact(last):
            return cast("T", last)
        _give_up_after(deadline, within, last)
        time.sleep(PAUSE)


def _is_fact(answer: object) -> bool:
    return bool(answer) and not isinstance(answer, AssertionError)


def _give_up_after(deadline: float, within: float, last: object) -> None:
    if time.monotonic() > deadline:
        cause = last if isinstance(last, AssertionError) else None
        raise AssertionError(f"not within {within} s; last answer: {last!r}") from cause
