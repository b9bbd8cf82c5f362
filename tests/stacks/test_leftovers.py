"""What a session of tests leaves on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_KILLED_BROKER = (
    "tests/connectors/local/engines/test_engines.py"
    "::test_kafka_keeps_an_acknowledged_record_through_kill_9"
)


def test_a_session_with_a_killed_broker_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", _KILLED_BROKER]
    environment = {name: it for name, it in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        command,
        env={**environment, "TMPDIR": str(tmp_path)},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert list(tmp_path.iterdir()) == []
