"""Worker processes for fault tests, restarted whatever ends them, with crash points armed one after
the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


def settings_environment(servers: str, prefix: str, partitions: int) -> dict[str, str]:
    """The variables of a worker that needs nothing but Kafka."""
    return {
        "CAMPAIGNS_KAFKA": servers,
        "CAMPAIGNS_POSTGRES": "postgresql://not-needed",
        "CAMPAIGNS_NATS": "nats://not-needed",
        "CAMPAIGNS_MESSAGE_KEYS": "00" * 32,
        "CAMPAIGNS_TOPIC_PREFIX": prefix,
        "CAMPAIGNS_PARTITIONS": str(partitions),
    }


@dataclass
class Worker:
    """One process of `module`, not restarted; its log goes to a file."""

    role: str
    log: Path
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    module: str = "tests.faults.counting_app"

    async def start(self, **more: str) -> Worker:
        # the test's own variables may not reach the worker
        outer = {
            name: value for name, value in os.environ.items() if not name.startswith("CAMPAIGNS_")
        }
        with self.log.open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module, self.role),
                stdout=log,
                stderr=log,
                env={**outer, **self.environment, **more},
            )
        return self

    def signal(self, number: signal.Signals) -> bool:
        if self.process is None or self.process.returncode is not None:
            return False
        self.process.send_signal(number)
        return True

    async def ended(self) -> int:
        assert self.process is not None
        return await self.process.wait()

    def peak_memory(self) -> int:
        """The most bytes that the process, which still runs, has had resident."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    async def stop(self, within: float = 300) -> int:
        """SIGTERM, then SIGKILL; answers the exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.ended(), within)
        self.signal(signal.SIGKILL)
        return await self.ended()

    def is_frozen(self) -> bool:
        if self.process is None or self.process.returncode is not None:
            return False
        with contextlib.suppress(OSError):
            return (
                Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
                == "T"
            )
        return False


@dataclass
class Role:
    """The crash points a role still has to meet; at most one of its workers is armed at a time."""

    name: str
    todo: list[str]
    armed: str = ""
    met: Counter[str] = field(default_factory=Counter)


@dataclass
class Slot:
    """A place for one worker of a role: while wanted, a worker runs here and is restarted whatever
    ends it.
    """

    role: Role
    worker: Worker
    is_wanted: bool = True
    exits: Counter[int] = field(default_factory=Counter)

    async def supervise(self) -> None:
        while True:
            if not self.is_wanted:
                await asyncio.sleep(0.1)
                continue
            armed = self._arm()
            seen = self.worker.log.stat().st_size if self.worker.log.exists() else 0
            await self.worker.start(CAMPAIGNS_CRASH=armed)
            thaw = asyncio.create_task(self._thaw())
            code = await self.worker.ended()
            thaw.cancel()
            self.exits[code] += 1
            if armed:
                self._disarm(
                    armed,
                    "crash point" in self.worker.log.read_bytes()[seen:].decode(errors="replace"),
                )
            await asyncio.sleep(0.2)

    def _arm(self) -> str:
        if self.role.armed or not self.role.todo:
            return ""
        self.role.armed = self.role.todo.pop(0)
        return self.role.armed

    def _disarm(self, armed: str, was_met: bool) -> None:
        self.role.armed = ""
        if was_met:
            self.role.met[
                armed.partition(":")[0] + ("-zombie" if armed.endswith("stop") else "")
            ] += 1
        else:
            self.role.todo.append(armed)  # something else ended the process first

    async def _thaw(self) -> None:
        """A worker that froze itself wakes up after its session has expired: a zombie."""
        while True:
            await asyncio.sleep(0.1)
            if self.worker.is_frozen():
                await asyncio.sleep(9)
                self.worker.signal(signal.SIGCONT)
