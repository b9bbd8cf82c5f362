"""The figures of fault tests: what becomes of a report, and what is written at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from tests.faults.conftest import Lines

_NAME = "tests/faults/test_x.py::test_a_broker_is_killed[1]"
When = Literal["setup", "call", "teardown"]
Outcome = Literal["passed", "failed", "skipped"]


def _report(
    outcome: Outcome = "passed", when: When = "call", nodeid: str = _NAME, **figures: object
) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid, ("x", 1, "x"), {}, outcome, None, when, (), 12.34, user_properties=figures.items()
    )


def test_a_line_has_the_figures_that_the_test_recorded(tmp_path: Path) -> None:
    lines, file = Lines(tmp_path / "build" / "faults.json"), tmp_path / "build" / "faults.json"
    lines.pytest_runtest_logreport(_report(seed=7, recipients=100, events=300, violations=0))
    lines.pytest_runtest_logreport(_report(when="setup"))
    lines.pytest_runtest_logreport(_report("failed", violations=3))
    lines.pytest_runtest_logreport(_report("failed"))
    lines.pytest_runtest_logreport(_report("failed", "setup"))
    lines.pytest_runtest_logreport(_report(nodeid="tests/e2e/test_x.py::test_y"))
    lines.pytest_sessionfinish()
    nothing = {"seed": None, "recipients": 0, "events": 0}
    common = {"fault": "a_broker_is_killed[1]", "seconds": 12.3}
    assert json.loads(file.read_text()) == [
        {**common, "seed": 7, "recipients": 100, "events": 300, "violations": 0},
        {**common, **nothing, "violations": 3},
        {**common, **nothing, "violations": 1},
        {**common, **nothing, "violations": 1},
    ]


def test_a_session_without_fault_tests_writes_nothing(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "build" / "faults.json")
    lines.pytest_runtest_logreport(_report(nodeid="tests/e2e/test_x.py::test_y"))
    lines.pytest_sessionfinish()
    assert not (tmp_path / "build").exists()
