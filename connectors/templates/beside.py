"""Work on templates that may take seconds, beside the event loop: while one tenant's template is
read, everybody else is served.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="templates")


async def beside(work: Callable[[], T]) -> T:
    """Run work on a thread, of which there are two. Raises what the work raises.

    The work is pure, and bounded by itself: a caller that goes away does not end it. In the API a
    tenant has one piece at a time (`RENDERINGS` in api/limits/slots.py), so another one finds the
    second thread.
    """
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)
