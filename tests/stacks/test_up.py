"""The whole stack through its command line, as a newcomer and a program use it."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from connectors.local.stack import status
from connectors.local.stack.home import PORTS, Home
from connectors.local.stack.roles import ENGINES, ROLES
from connectors.local.stack.status import StackStatus
from connectors.local.stack.unit import State
from tests.eventually import eventually_sync

_CAMPAIGNS = str(Path(sys.executable).with_name("campaigns"))
_PATIENCE = 400  # seconds for what takes ten on a machine of its own


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
            [_CAMPAIGNS, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert ran.returncode == code, f"{arguments}: {ran.stdout}\n{ran.stderr}\n{self.logs()}"
        return ran.stdout

    def status(self) -> StackStatus:
        """What `campaigns status` shows, without starting a process for every look."""
        return status.read(Home.from_environment(self.environment))

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


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "home")
    yield made
    made.campaigns("reset", "--yes")
    assert not made.home.exists()


def test_up_detached_repairs_itself_and_down_leaves_no_process(stack: Stack) -> None:
    stack.campaigns("up", "--detach", "--no-demo", "--workers", "emit=2")
    first: dict[str, Any] = json.loads(stack.campaigns("status", "--json"))
    assert first["ready"] is True
    assert first["apiKey"] is None
    assert set(first["addresses"]) == {"api", "kafka", "postgres", "nats", "metrics"}
    assert {it["role"] for it in first["processes"]} == {*ENGINES, *ROLES}
    assert [it["role"] for it in first["processes"]].count("emit") == 2
    assert all(it["state"] == "ready" and it["pid"] for it in first["processes"])

    stack.campaigns("up", "--detach", "--no-demo")  # twice is harmless
    assert [it.pid for it in stack.status().processes] == [it["pid"] for it in first["processes"]]
    stack.campaigns("topics", "--check")
    stack.campaigns("doctor")

    for role in ("bridge", "kafka"):
        pid = stack.pid(role)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually_sync(partial(stack.is_replaced, role, pid), within=300)
    # seconds on a machine of its own; a busy one needs patience
    eventually_sync(stack.is_ready, within=_PATIENCE)

    stack.campaigns("down")
    assert stack.left() == []
    stack.campaigns("status", code=1)
    stack.campaigns("down")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_up_in_the_foreground_takes_everything_with_it(
    stack: Stack, ending: signal.Signals
) -> None:
    told = stack.home.with_name("told")
    command = [_CAMPAIGNS, "up", "--no-demo", "--no-simulate"]
    with (
        told.open("w") as sink,
        subprocess.Popen(command, env=stack.environment, stdout=sink, stderr=sink) as up,
    ):
        try:
            eventually_sync(lambda: "Ctrl-C stops everything" in told.read_text(), within=_PATIENCE)
            assert stack.status().ready
        finally:
            up.send_signal(ending)
        assert up.wait(_PATIENCE) == (0 if ending is signal.SIGINT else -9)
    eventually_sync(lambda: stack.left() == [], within=_PATIENCE)


def test_up_refuses_settings_that_no_process_could_start_with(stack: Stack) -> None:
    stack.environment["CAMPAIGNS_MESSAGE_KEYS"] = "abcdef"
    ran = subprocess.run(
        [_CAMPAIGNS, "up", "-d"],
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    assert ran.returncode == 2
    assert "CAMPAIGNS_MESSAGE_KEYS" in ran.stderr
    assert "abcdef" not in ran.stderr


def test_up_says_which_port_is_taken_and_that_an_hour_is_none(stack: Stack) -> None:
    stack.environment["CAMPAIGNS_HOUR"] = "PT1M"
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(stack.environment["CAMPAIGNS_PORT_BASE"]) + 4))
        other.listen()
        ran = subprocess.run(
            [_CAMPAIGNS, "up", "-d"],
            env=stack.environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    assert ran.returncode == 1
    assert "is taken by another program" in ran.stderr
    assert "CAMPAIGNS_HOUR is 60 s" in ran.stderr
    assert "CAMPAIGNS_PORT_BASE" in ran.stderr
