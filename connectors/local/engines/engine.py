"""The common shape of Kafka, PostgreSQL and NATS: a command on a folder and a port, and a question
that shows it is ready.
"""

from __future__ import annotations

import random
import signal
import socket
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from connectors.local.engines.process import Process


class EngineError(RuntimeError):
    """A local engine did not start; the message names it, the reason, and the remedy."""


@dataclass(frozen=True)
class Account:
    """The name and the password of a client, of ASCII letters and digits."""

    user: str
    password: str = field(repr=False)


# In the place of an account: the engine lets everybody in who reaches its port, every user of the
# machine. For tests, which store nothing of anybody.
OPEN: Final = None


class Engine(Protocol):
    """A description, not a process. It holds no state beyond its folder, so an engine that was
    killed at any moment starts again on it.
    """

    @property
    def role(self) -> str: ...

    @property
    def address(self) -> str:
        """The value of the CAMPAIGNS_… variable of the same name."""
        ...

    @property
    def stop_signal(self) -> signal.Signals: ...

    def prepare(self) -> list[str]:
        """Makes the folder usable and returns the command to run. Blocks up to seconds; repeating
        it is harmless.

        Raises `EngineError`.
        """
        ...

    def is_ready(self) -> bool:
        """Whether the engine answers a real request now; takes seconds at most."""
        ...


class RunningEngine:
    """One engine as a process, for tests and tools; the supervisor has its own loop. Every method
    blocks.
    """

    def __init__(self, engine: Engine, log: Path) -> None:
        self.engine, self._log = engine, log
        self._process: Process | None = None
        self._command: list[str] = []

    @property
    def address(self) -> str:
        return self.engine.address

    @property
    def pid(self) -> int:
        if self._process is None:
            raise EngineError(f"{self.engine.role} has not been started")
        return self._process.pid

    def start(self, within: timedelta = timedelta(seconds=60)) -> None:
        """Returns when the engine is ready. After `stop` or `kill` it continues on the same folder
        and port. Raises `EngineError`.
        """
        self.launch()
        self.wait(within)

    def launch(self) -> None:
        """Starts the process and returns; some engines are ready only when others are there. Raises
        `EngineError`.
        """
        self._command = self.engine.prepare()
        self._process = Process(self._command, self._log)

    def wait(self, within: timedelta) -> None:
        """Returns when the engine that was launched is ready. Raises `EngineError`."""
        deadline = time.monotonic() + within.total_seconds()
        # PostgreSQL after kill -9: until its old backends notice, the folder is taken
        retry_until = time.monotonic() + 5
        assert self._process is not None
        while not self.engine.is_ready():
            if self._process.exit_code is not None:
                if time.monotonic() > retry_until:
                    raise EngineError(f"{self.engine.role} ended at once: {last_lines(self._log)}")
                time.sleep(0.2)
                self._process = Process(self._command, self._log)
            elif time.monotonic() > deadline:
                self._process.kill()
                raise EngineError(
                    f"{self.engine.role} is not ready after {within.total_seconds():.0f} s:"
                    f" {last_lines(self._log)}"
                )
            time.sleep(0.03)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(self.engine.stop_signal, timedelta(seconds=20))

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()


def last_lines(log: Path, count: int = 5) -> str:
    """Returns the end of a log, for a message."""
    if not log.exists():
        return "(no log)"
    lines = [
        line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip(" ^~")
    ]
    return " | ".join(lines[-count:])


def answers(host: str, port: int, request: bytes, enough: int, within: float = 2) -> bytes:
    """Returns the first bytes (at least `enough`) that a server answers to `request`; b"" when none
    come for `within` seconds.
    """
    try:
        with socket.create_connection((host, port), timeout=within) as connection:
            connection.sendall(request)
            received = b""
            while len(received) < enough:
                piece = connection.recv(4096)
                if not piece:
                    return b""
                received += piece
            return received
    except OSError:
        return b""


def free_port() -> int:
    """Returns a loopback port without a listener, outside the range that the kernel hands to
    outgoing connections (32768 up).

    From inside that range another client's connection could take the port while a killed engine is
    down.
    """
    while True:
        port = random.randrange(18_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
