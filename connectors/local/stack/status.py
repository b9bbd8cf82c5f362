"""The status file of a stack: written by its supervisor, read by the command line."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import IO

from connectors.local.engines import private_files
from connectors.local.stack.home import Home
from connectors.local.stack.roles import ENGINES, ROLES
from connectors.local.stack.unit import State


@dataclass(frozen=True)
class ProcessStatus:
    """One process. `lag` counts records of its input that are not processed yet, `rate` records a
    second; None where there is none.
    """

    role: str
    pid: int | None
    state: State
    lag: int | None = None
    rate: float | None = None
    name: str = ""
    restarts: int = 0
    failure: str = ""  # why it last ended; empty when it never did


@dataclass(frozen=True)
class StackStatus:
    """The status as `campaigns status --json` prints it."""

    ready: bool
    addresses: dict[str, str]
    apiKey: str | None = None  # noqa: N815 - the demo tenant's, null without a demo
    processes: Sequence[ProcessStatus] = field(default_factory=tuple)
    failure: str = ""  # why the stack as a whole cannot work; empty when it can

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def write(home: Home, status: StackStatus) -> None:
    """Replaces the file at once, so that a reader never sees half of it. Only the owner may read
    it, because failures quote logs.
    """
    private_files.write(home.status_file, status.as_json())


def read(home: Home) -> StackStatus:
    """Returns the supervisor's last status, or everything stopped when there is no supervisor."""
    if not is_supervised(home) or not home.status_file.exists():
        roles = [*ENGINES, *ROLES]
        return StackStatus(
            False,
            home.shown_addresses(),
            _demo_key(home),
            [ProcessStatus(role, None, State.STOPPED, name=role) for role in roles],
        )
    said = json.loads(home.status_file.read_bytes())
    processes = [
        ProcessStatus(**{**it, "state": State(it["state"])}) for it in said.pop("processes")
    ]
    return StackStatus(**{**said, "processes": processes, "apiKey": _demo_key(home)})


def is_supervised(home: Home) -> bool:
    """Whether a supervisor lives in this home now."""
    if not home.lock_file.exists():
        return False
    with home.lock_file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def supervisor_pid(home: Home) -> int | None:
    """Returns None when no supervisor lives in this home."""
    written = home.lock_file.read_text().strip() if is_supervised(home) else ""
    return int(written) if written else None


def claim(home: Home) -> IO[str] | None:
    """Takes the lock of this home, held until the file is closed; None when another supervisor has
    it.
    """
    lock = home.lock_file.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _demo_key(home: Home) -> str | None:
    try:
        key = json.loads(home.demo_file.read_bytes()).get("apiKey")
    except (OSError, ValueError):
        return None
    return key if isinstance(key, str) else None
