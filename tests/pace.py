"""How fast this machine is just now, so that a limit on work is no limit on the machine."""

from __future__ import annotations

import time
from collections.abc import Callable

_ROUNDS = 400_000
_USUAL = 0.02  # seconds of a thread for those rounds on the machine that limits were chosen on


def pace() -> float:
    """Seconds of this thread that stand for one: 3.0 on a machine three times slower."""
    return min(_measured() for _ in range(3)) / _USUAL


def thread_seconds(work: Callable[[], object]) -> float:
    """How long the thread works on it; waiting for a busy machine does not count."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _measured() -> float:
    return thread_seconds(lambda: sum(number & 3 for number in range(_ROUNDS)))
