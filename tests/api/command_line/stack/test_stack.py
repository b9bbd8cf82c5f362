"""`campaigns up` waits as long as one process after the other becomes ready."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import typer

from api.command_line.stack import stack
from connectors.local.engines.process import Process
from connectors.local.stack import status
from connectors.local.stack.home import Home
from connectors.local.stack.status import ProcessStatus, StackStatus
from connectors.local.stack.unit import State

_NAMES = ("nats", "kafka", "control-1", "api-1")


def _status(ready: int) -> StackStatus:
    processes = [
        ProcessStatus(name, None, State.READY if at < ready else State.STARTING, name=name)
        for at, name in enumerate(_NAMES)
    ]
    return StackStatus(ready == len(_NAMES), {}, processes=processes)


def _wait(monkeypatch: pytest.MonkeyPatch, folder: Path, becomes_ready_at: list[float]) -> float:
    """Seconds of a clock of its own until everything was ready."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    clock = SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr(stack, "time", clock)
    monkeypatch.setattr(
        status, "read", lambda _: _status(sum(at <= now for at in becomes_ready_at))
    )
    supervisor = cast("Process", SimpleNamespace(exit_code=None))
    assert stack._wait_until_ready(Home(folder, 20_000, {}), supervisor).ready
    return now


def test_a_slow_machine_is_waited_for_while_processes_become_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert _wait(monkeypatch, tmp_path, [100, 200, 300, 400]) >= 400


def test_after_two_minutes_in_which_nothing_became_ready_it_is_said_what_is_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        _wait(monkeypatch, tmp_path, [5, 100, 221, 222])
    assert (
        "not ready, and nothing became ready for 120 s: control-1 is starting; api-1 is starting."
    ) in " ".join(capsys.readouterr().err.split())
