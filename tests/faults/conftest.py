"""What `make faults` leaves behind: `build/faults.json`, a line for every fault test that ran, with
the figures that the test recorded (`record_property`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest


def line_of(report: pytest.TestReport) -> Mapping[str, Any]:
    """A test that fails without counting what is wrong has one violation. `still`: by what was cut
    off, the seconds that sending and counting stood still meanwhile and afterwards.
    """
    figures = dict(report.user_properties)
    found = figures.get("violations", 0)
    return {
        "fault": report.nodeid.rpartition("::")[2].removeprefix("test_"),
        "seed": figures.get("seed"),
        "recipients": figures.get("recipients", 0),
        "events": figures.get("events", 0),
        "violations": found if report.passed else max(1, int(str(found))),
        "seconds": round(report.duration, 1),
        **{name: figures[name] for name in ("still",) if name in figures},
    }


class Lines:
    """Collects the lines of one session, and writes them at its end."""

    def __init__(self, file: Path) -> None:
        self._file, self._lines = file, list[Mapping[str, Any]]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        is_fault = report.nodeid.startswith("tests/faults/")
        if is_fault and (report.when == "call" or (report.when == "setup" and report.failed)):
            self._lines.append(line_of(report))

    def pytest_sessionfinish(self) -> None:
        if self._lines:
            self._file.parent.mkdir(exist_ok=True)
            self._file.write_text(json.dumps(self._lines, indent=1) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """With several processes the one that gathers all reports writes."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Lines(config.rootpath / "build" / "faults.json"))
