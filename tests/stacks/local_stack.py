"""A local stack of a test and its command line."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from connectors.local.stack import status
from connectors.local.stack.home import PORTS, Home
from connectors.local.stack.status import StackStatus
from connectors.local.stack.unit import State

CAMPAIGNS = str(Path(sys.executable).with_name("campaigns"))
PATIENCE = 400  # seconds for what takes ten on a machine of its own


class Stack:
    """One home and its command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        own = {"CAMPAIGNS_HOME": str(home), "CAMPAIGNS_PORT_BASE": str(_base())}
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("CAMPAIGNS_")
            },
            **own,
        }
        if "CAMPAIGNS_CACHE" in os.environ:
            self.environment["CAMPAIGNS_CACHE"] = os.environ["CAMPAIGNS_CACHE"]

    def campaigns(self, *arguments: str, code: int = 0) -> str:
        ran = subprocess.run(
            [CAMPAIGNS, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ran.returncode == code, f"{arguments}: {ran.stdout}\n{ran.stderr}\n{self.logs()}"
        return ran.stdout

    def status(self) -> StackStatus:
        """What `campaigns status` shows, without starting a process for every look."""
        return status.read(self.at())

    def at(self) -> Home:
        return Home.from_environment(self.environment)

    def is_ready(self) -> bool:
        late = [
            (it.name, it.state.value, it.restarts, it.failure)
            for it in self.status().processes
            if it.state is not State.READY
        ]
        assert late == []
        return self.status().ready

    def pid(self, role: str) -> int | None:
        return next(it.pid for it in self.status().processes if it.role == role)

    def is_replaced(self, role: str, old: int) -> bool:
        return self.pid(role) not in (None, old)

    def left(self) -> list[str]:
        """Every process that was started for this home and lives."""
        return [
            " ".join(each.cmdline())
            for each in psutil.process_iter()
            if _home_of(each) == str(self.home)
        ]

    def files(self) -> dict[Path, os.stat_result]:
        """Every file and folder of the home, and what it is; those that come and go may lack."""
        found = {self.home: self.home.lstat()}
        for folder, folders, files in os.walk(self.home):
            for name in (*folders, *files):
                with suppress(FileNotFoundError):
                    found[Path(folder, name)] = Path(folder, name).lstat()
        return found

    def logs(self) -> str:
        return "\n".join(
            f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}"
            for log in sorted((self.home / "logs").glob("*.log"))
        )


def _base() -> int:
    """A port base whose ports are all free, below those that tests beside this one take."""
    while True:
        base = random.randrange(10_000, 18_000, PORTS)
        if all(map(_is_free, range(base, base + PORTS))):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _home_of(process: psutil.Process) -> str | None:
    try:
        return (
            process.environ().get("CAMPAIGNS_HOME")
            if process.status() != psutil.STATUS_ZOMBIE
            else None
        )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


@contextmanager
def made() -> Iterator[Stack]:
    """A stack that is not started yet, in a folder that every user of the machine may look into.
    Stops it and removes what it has stored.
    """
    with TemporaryDirectory(prefix="campaigns-stack-") as folder:
        Path(folder).chmod(0o755)
        stack = Stack(Path(folder) / "home")
        yield stack
        stack.campaigns("reset", "--yes")
        assert not stack.home.exists()
