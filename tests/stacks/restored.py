"""A backup of PostgreSQL that comes back, a Kafka that lost its topics, and the commands that an
operator has then.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from psycopg.conninfo import conninfo_to_dict

from connectors.local.engines.postgres import binaries
from streams.settings import Settings
from tests.docs.pages import DOCS, blocks
from tests.e2e.processes import Installation
from tests.eventually import eventually_sync

_CAMPAIGNS = str(Path(sys.executable).with_name("campaigns"))
#: Each process takes seconds to start, so every test looks at some of them.
WHEN_POSTGRESQL_WENT: Sequence[tuple[str, ...]] = (
    ("worker", "control"),
    ("worker", "emit"),
    ("prepare",),
)
WHEN_KAFKA_WENT: Sequence[tuple[str, ...]] = (
    ("prepare",),  # makes the topics
    ("worker", "expand"),
    ("worker", "stats"),
    ("bridge",),
    ("job", "campaign-scheduler"),
)
_PAGE = DOCS / "operate" / "restore.md"
RUNBOOK = "`campaigns reconcile` (docs/operate/restore.md)"


@dataclass(frozen=True)
class Backup:
    """A dump of the database, taken and restored with the commands of the page."""

    settings: Settings
    file: Path

    def take(self) -> None:
        """The engine may be at work meanwhile."""
        self._run("pg_dump --format=custom --file=campaigns.dump campaigns")

    def restore(self) -> None:
        """Whoever is connected to the database loses it."""
        block = next(it.text for it in blocks(_PAGE, "text") if "pg_restore" in it.text)
        commands = block.strip().splitlines()
        assert len(commands) == 3
        for command in commands:
            self._run(command)

    def _run(self, command: str) -> None:
        server = conninfo_to_dict(self.settings.postgres)
        words = command.replace("campaigns.dump", str(self.file)).split()
        name = str(server["dbname"])
        words = [re.sub(r"(^|=)campaigns$", rf"\1{name}", word) for word in words]
        place = {"PGHOST": server["host"], "PGPORT": server["port"], "PGUSER": server["user"]}
        subprocess.run(
            [str(binaries() / words[0]), *words[1:]],
            env=os.environ | {variable: str(it) for variable, it in place.items()},
            check=True,
        )


@dataclass(frozen=True)
class Running:
    """The processes, at work. No simulator is among them: nobody bounces or unsubscribes."""

    url: str
    folder: Path

    def page(self, method: str, path: str) -> httpx.Response:
        """What a person or a mail program gets."""
        return httpx.request(method, self.url + path, timeout=60)


@contextmanager
def running_engine(settings: Settings, folder: Path) -> Iterator[Running]:
    """Every worker and the API, ready; they stop with the block."""
    url = f"http://127.0.0.1:{settings.api_port}"
    more = {"api": [sys.executable, "-m", "api.server"]}
    with Installation(settings, folder, extra=more) as processes:
        eventually_sync(lambda: is_ready(url) and processes.all_ready())
        yield Running(url, folder)


@contextmanager
def closed_api(settings: Settings, folder: Path) -> Iterator[Running]:
    """The API alone, which answers; where it takes nothing it is never ready."""
    url = f"http://127.0.0.1:{settings.api_port}"
    api = {"api": [sys.executable, "-m", "api.server"]}
    with Installation(settings, folder, roles=(), extra=api) as processes:
        eventually_sync(lambda: _answers(url))
        yield Running(url, folder)
        assert not processes.processes["api"].restarts


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=2).is_success
    except httpx.TransportError:
        return False


def is_ready(url: str) -> bool:
    """Whether the API at this address says that it is."""
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
