"""The whole stack through its command line, as a newcomer and a program use it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from connectors.local.stack.roles import ENGINES, ROLES
from tests.eventually import eventually_sync
from tests.stacks.intruder import intrusions
from tests.stacks.local_stack import CAMPAIGNS, PATIENCE, Stack, made


@pytest.fixture
def stack() -> Iterator[Stack]:
    with made() as stack:
        yield stack


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
    assert intrusions(stack) == []

    for role in ("bridge", "kafka"):
        pid = stack.pid(role)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually_sync(partial(stack.is_replaced, role, pid), within=300)
    # seconds on a machine of its own; a busy one needs patience
    eventually_sync(stack.is_ready, within=PATIENCE)

    stack.campaigns("down")
    assert stack.left() == []
    stack.campaigns("status", code=1)
    stack.campaigns("down")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_up_in_the_foreground_takes_everything_with_it(
    stack: Stack, ending: signal.Signals
) -> None:
    told = stack.home.with_name("told")
    command = [CAMPAIGNS, "up", "--no-demo", "--no-simulate"]
    with (
        told.open("w") as sink,
        subprocess.Popen(command, env=stack.environment, stdout=sink, stderr=sink) as up,
    ):
        try:
            eventually_sync(lambda: "Ctrl-C stops everything" in told.read_text(), within=PATIENCE)
            assert stack.status().ready
        finally:
            up.send_signal(ending)
        assert up.wait(PATIENCE) == (0 if ending is signal.SIGINT else -9)
    eventually_sync(lambda: stack.left() == [], within=PATIENCE)


def test_up_refuses_settings_that_no_process_could_start_with(stack: Stack) -> None:
    stack.environment["CAMPAIGNS_MESSAGE_KEYS"] = "abcdef"
    ran = subprocess.run(
        [CAMPAIGNS, "up", "-d"],
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
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
            [CAMPAIGNS, "up", "-d"],
            env=stack.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ran.returncode == 1
    assert "is taken by another program" in ran.stderr
    assert "CAMPAIGNS_HOUR is 60 s" in ran.stderr
    assert "CAMPAIGNS_PORT_BASE" in ran.stderr
