"""Named places where a fault test can kill or freeze the process; they cost one comparison and do
nothing unless armed.

`CAMPAIGNS_CRASH="before-commit:3"` kills the process (SIGKILL, no clean-up of any kind) the third
time it passes `before-commit`; `"emit:before-commit:3"` counts only those of `emit`;
`"before-commit:3:stop"` freezes it (SIGSTOP), which makes a zombie of it once its session has
expired and it gets SIGCONT. Points of every exactly-once agent, in order: `body`, `begun`,
`before-commit`, `after-commit`; of the worker: `restore`. Bodies add their own with
`crash_point("page-written", "expand")`.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass


@dataclass
class Armed:
    """A crash point that is armed, and the passes that are left before the process dies."""

    point: str
    left: int
    how: signal.Signals


def parse(text: str) -> Armed | None:
    """`[owner:]point:n[:stop]`, or None for an empty text. Raises ValueError when the number is
    missing.
    """
    if not text:
        return None
    how, text = (
        (signal.SIGSTOP, text.removesuffix(":stop"))
        if text.endswith(":stop")
        else (signal.SIGKILL, text)
    )
    point, _, count = text.rpartition(":")
    return Armed(point, int(count), how)


_armed = parse(os.environ.get("CAMPAIGNS_CRASH", ""))


def crash_point(point: str, owner: str = "") -> None:
    """Die or freeze here if this is the point, and the time, that the environment names."""
    if _armed is None or _armed.left <= 0 or _armed.point not in (point, f"{owner}:{point}"):
        return
    _armed.left -= 1
    if _armed.left == 0:
        os.write(2, f"crash point {owner}:{point}, pid {os.getpid()}, {_armed.how.name}\n".encode())
        os.kill(os.getpid(), _armed.how)
