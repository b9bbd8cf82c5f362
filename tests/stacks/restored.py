"""A backup of PostgreSQL that comes back, a Kafka that lost its topics, and the commands that an
operator has then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streams.settings import Settings
from tests.e2e.processes import Installation
from tests.eventually import eventually_sync

_CAMPAIGNS = str(Path(sys.executable).with_name("campaigns"))
#: How each process says that it must not run.
PROCESSES: Sequence[tuple[str, ...]] = (
    *(("worker", role) for role in ("control", "expand", "emit", "stats")),
    ("bridge",),
    ("api",),
    ("prepare",),
    ("job", "campaign-scheduler"),
)
RUNBOOK = "`campaigns reconcile` (docs/operate/restore.md)"


@dataclass(frozen=True)
class Backup:
    """A copy of the database of an installation that is stopped."""

    settings: Settings

    @property
    def _name(self) -> str:
        return str(conninfo_to_dict(self.settings.postgres)["dbname"])

    def take(self) -> None:
        self._run(f"CREATE DATABASE {self._name}_backup TEMPLATE {self._name}")

    def restore(self) -> None:
        """As often as wanted."""
        self._run(
            f"DROP DATABASE {self._name} WITH (FORCE)",
            f"CREATE DATABASE {self._name} TEMPLATE {self._name}_backup",
        )

    def drop(self) -> None:
        self._run(f"DROP DATABASE IF EXISTS {self._name}_backup")

    def _run(self, *statements: str) -> None:
        dsn = make_conninfo(self.settings.postgres, dbname="postgres")
        with psycopg.connect(dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@dataclass(frozen=True)
class Running:
    """The processes, at work. No simulator is among them: nobody bounces or unsubscribes."""

    url: str
    folder: Path


@contextmanager
def running_engine(settings: Settings, folder: Path) -> Iterator[Running]:
    """Every worker and the API, ready; they stop with the block."""
    url = f"http://127.0.0.1:{settings.api_port}"
    more = {"api": [sys.executable, "-m", "api.server"]}
    with Installation(settings, folder, extra=more) as processes:
        eventually_sync(lambda: _is_ready(url) and processes.all_ready())
        yield Running(url, folder)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False


@dataclass(frozen=True)
class Operator:
    """The command line with the settings of an installation, and none of the caller's."""

    settings: Settings
    folder: Path

    def campaigns(self, *arguments: str, crash: str = "") -> subprocess.CompletedProcess[str]:
        own = {name: it for name, it in os.environ.items() if not name.startswith("CAMPAIGNS_")}
        return subprocess.run(
            [_CAMPAIGNS, *arguments],
            env={
                **own,
                **self.settings.environment(),
                "CAMPAIGNS_HOME": str(self.folder / "home"),
                "CAMPAIGNS_CRASH": crash,
            },
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def is_refused(self, *command: str) -> str:
        """What the process says, which must end by itself with one sentence that names the
        runbook.
        """
        ended = self.campaigns(*command)
        said = ended.stdout + ended.stderr
        assert ended.returncode == (1 if command[0] == "prepare" else 70), said
        assert RUNBOOK in said and "Traceback" not in said, said
        return said

    def reconcile(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        ended = self.campaigns("reconcile", "--json", *arguments)
        said = ended.stdout + ended.stderr
        assert ended.returncode == code and "Traceback" not in said, said
        found: dict[str, Any] = json.loads(ended.stdout)
        return found
