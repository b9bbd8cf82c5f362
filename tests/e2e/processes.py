"""The real processes of an installation, one of each role, restarted at once when they die; tests
kill them.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from connectors.local.engines.process import Process
from streams.settings import Settings

#: Every process has the same, and what prepares the installation, too.
SHORTENED: Mapping[str, timedelta] = {
    "hour": timedelta(seconds=6),
    "day": timedelta(minutes=10),
}
WORKERS = ("control", "expand", "emit", "stats", "bridge")


class Supervised:
    """One process that comes back within a fifth of a second, whatever its exit code."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self._command, self._log, self._environment = command, log, environment
        self.process: Process | None = None
        self.restarts, self._stopping = 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.process = Process(self._command, self._log, self._environment)
            while self.process.exit_code is None and not self._stopping.wait(0.05):
                pass
            if self._stopping.is_set():
                self.process.stop()
                return
            self.restarts += 1
            self._stopping.wait(0.2)

    def send(self, which: signal.Signals) -> None:
        if self.process is not None:
            self.process.send(which)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)


class Installation:
    """A context manager: starts the workers of `settings` on entry, ends all of them on exit. Logs
    lie in `folder`.
    """

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        roles: Iterable[str] = WORKERS,
        extra: Mapping[str, list[str]] | None = None,
        environment: Mapping[str, str] | None = None,
        of_each: Callable[[str], Mapping[str, str]] = lambda name: {},
    ) -> None:
        """`of_each` says what the process of a name has in its environment beside the others'."""
        self._environment, self.folder = {**settings.environment(), **(environment or {})}, folder
        self._of_each = of_each
        self._commands = {
            role: [sys.executable, "-m", "agents.worker", role] for role in roles
        } | dict(extra or {})
        self.processes: dict[str, Supervised] = {}

    def __enter__(self) -> Self:
        for name in self._commands:
            self.start(name)
        return self

    def start(
        self,
        name: str,
        environment: Mapping[str, str] | None = None,
        command: list[str] | None = None,
    ) -> None:
        """Start the process of this name; `emit-2` is one more of the role `emit`. `environment`
        adds to the settings' own, a crash point for instance.
        """
        file = self.folder / f"{name}.ready.json"
        file.unlink(missing_ok=True)  # of one that was stopped
        ready = {"CAMPAIGNS_READY_FILE": str(file)}
        own = {**self._of_each(name), **(environment or {})}
        merged = {**self._environment, **ready, **own}
        command = command or self._commands[name.partition("-")[0]]
        self.processes[name] = Supervised(command, self.folder / f"{name}.log", merged)

    def all_ready(self) -> bool:
        """Every worker has said that it owns its partitions and has restored them."""
        return all(self.is_ready(name) for name in self.processes if name in WORKERS)

    def is_ready(self, name: str) -> bool:
        """This worker has said so."""
        file = self.folder / f"{name}.ready.json"
        return file.exists() and bool(json.loads(file.read_bytes())["ready"])

    def kill(self, name: str) -> None:
        """kill -9; the process is back soon."""
        self.processes[name].send(signal.SIGKILL)

    def stop(self, name: str) -> None:
        """SIGTERM; the process does not come back."""
        self.processes.pop(name).stop()

    def freeze(self, name: str, seconds: float) -> None:
        """SIGSTOP, then SIGCONT: past the session time-out this makes a zombie of a worker."""
        self.processes[name].send(signal.SIGSTOP)
        time.sleep(seconds)  # the length of the freeze is the fault itself, nothing is waited for
        self.processes[name].send(signal.SIGCONT)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stopping = [threading.Thread(target=process.stop) for process in self.processes.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
