"""A test in a process of its own, with mounts, and perhaps networks, that end with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.docs.pages import ROOT


def may(words: Sequence[str], script: str) -> bool:
    """Whether this user can do what `script` does behind these words of `unshare`."""
    try:
        tried = subprocess.run([*words, "sh", "-c", script], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


def counted(words: Sequence[str], module: str, *arguments: object) -> Any:
    """The line of JSON that `module` prints last, run behind these words of `unshare`. Raises
    AssertionError with the end of its complaints when it fails.
    """
    command = [*words, sys.executable, "-m", module, *map(str, arguments)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=1100, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1])


def record(record_property: Callable[[str, object], None], seed: int, found: Any) -> Sequence[str]:
    """Notes the figures for `build/faults.json`; the violations."""
    record_property("seed", seed)
    record_property("recipients", found["recipients"])
    record_property("events", found["events"])
    record_property("violations", len(found["violations"]))
    violations: Sequence[str] = found["violations"]
    return violations
