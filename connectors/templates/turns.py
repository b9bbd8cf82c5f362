"""Work on templates that may take seconds, beside the event loop: while one tenant's template is
read, everybody else is served.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")
# A tenant that waits for its turn holds one of them at most, and another one finds the second.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="templates")
# A lock lives as long as somebody holds it or waits for it, so it never meets another event loop.
_TURNS = WeakValueDictionary[str, asyncio.Lock]()


@asynccontextmanager
async def turn(tenant: str) -> AsyncIterator[None]:
    """Make a tenant's requests for such work follow each other. Take it before a connection of the
    database: those who wait must not hold what others need.
    """
    if (lock := _TURNS.get(tenant)) is None:
        lock = _TURNS[tenant] = asyncio.Lock()
    async with lock:
        yield


async def beside(work: Callable[[], T]) -> T:
    """Run work on a thread, of which there are two. Raises what the work raises.

    The work is pure, and bounded by itself: a caller that goes away does not end it.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
