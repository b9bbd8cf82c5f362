"""The faults that a machine or a stack can have, each with a sentence that says what to do."""

from __future__ import annotations

import asyncio
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from aiokafka.errors import KafkaError

from connectors.local.engines.engine import EngineError, last_lines
from connectors.local.engines.kafka import java
from connectors.local.engines.kafka_jars import cache_folder, class_path
from connectors.local.engines.postgres import as_user, binaries
from connectors.local.stack import status
from connectors.local.stack.home import Home
from connectors.local.stack.home_folder import HomeError
from connectors.local.stack.unit import State
from connectors.nats.connection import found
from connectors.nats.failures import NatsDownError, NatsRefusedError
from connectors.setup import topics
from streams.kafka.access import AccessRefusedError
from streams.kafka.refusals import refusal
from tables.database import probe

_GIB = 1 << 30
_FREE_DISK, _FREE_MEMORY = (
    3 * _GIB,
    2 * _GIB,
)  # a demo needs a third of it, a campaign of a million recipients all of it


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    subject: str
    is_fine: bool
    sentence: str


def examine(home: Home) -> list[Finding]:
    """Checks everything that can be checked now; the stack itself only while it runs."""
    findings = [_python(), _folder(home), _disk(home), _memory(), *_engine_files(home)]
    if not status.is_supervised(home):
        asked = {
            "CAMPAIGNS_KAFKA": _kafka,
            "CAMPAIGNS_POSTGRES": _postgres,
            "CAMPAIGNS_NATS": _nats,
        }
        findings += [ask(home) for variable, ask in asked.items() if variable in home.given]
        return [*findings, _ports(home)]
    findings += _processes(home)
    return [*findings, _postgres(home), _nats(home), _topics(home)]


def ports_taken(home: Home) -> list[int]:
    """Returns the ports of the local stack on which another program listens."""
    wanted = [home.api_port]
    wanted += (
        [home.port_base + 2, home.port_base + 3] if "CAMPAIGNS_KAFKA" not in home.given else []
    )
    wanted += [home.port_base + 4] if "CAMPAIGNS_POSTGRES" not in home.given else []
    wanted += [home.port_base + 5] if "CAMPAIGNS_NATS" not in home.given else []
    return [port for port in wanted if not _is_free(port)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _python() -> Finding:
    version = platform.python_version()
    return Finding(
        "Python", sys.version_info >= (3, 11), f"{version} in {sys.prefix}; 3.11 or newer is needed"
    )


def _folder(home: Home) -> Finding:
    try:
        home.make()
    except HomeError as error:
        return Finding("State folder", False, str(error))
    return Finding("State folder", True, str(home.folder))


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.folder if home.folder.exists() else "/").free
    return Finding(
        "Disk",
        free >= _FREE_DISK,
        f"{free / _GIB:.1f} GiB free at {home.folder}; {_FREE_DISK // _GIB} are enough",
    )


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    return Finding(
        "Memory",
        free >= _FREE_MEMORY,
        f"{free / _GIB:.1f} GiB available; {_FREE_MEMORY // _GIB} are enough",
    )


def _engine_files(home: Home) -> list[Finding]:
    checks: list[tuple[str, str, Callable[[], str]]] = [
        ("CAMPAIGNS_KAFKA", "Kafka", _kafka_files),
        (
            "CAMPAIGNS_POSTGRES",
            "PostgreSQL",
            lambda: _version([*as_user(), str(binaries() / "postgres"), "--version"]),
        ),
    ]
    return [_tried(name, check) for variable, name, check in checks if variable not in home.given]


def _kafka_files() -> str:
    class_path()
    return f"jars intact in {cache_folder()}, {_version([java(), '-version'])}"


def _version(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise EngineError(
            f"`{command[-2]}` does not run: {ran.stderr.strip()[-200:]}; "
            "`make setup` installs it anew"
        )
    return (ran.stdout or ran.stderr).splitlines()[0]


def _tried(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, check())
    except (EngineError, OSError) as error:
        return Finding(subject, False, str(error))


def _ports(home: Home) -> Finding:
    taken = ports_taken(home)
    if taken:
        numbers = ", ".join(map(str, taken))
        return Finding(
            "Ports",
            False,
            f"{numbers} taken by other programs: "
            f"set CAMPAIGNS_PORT_BASE to another number than {home.port_base}",
        )
    return Finding("Ports", True, f"free from {home.port_base} on")


def _processes(home: Home) -> list[Finding]:
    now = status.read(home)
    findings = [Finding("Stack", not now.failure, now.failure or "supervised")]
    for it in now.processes:
        log = home.logs / f"{it.name}.log"
        why = f" {it.failure or last_lines(log, 2)}; its log is {log}"
        findings.append(
            Finding(
                it.name,
                it.state is State.READY,
                f"{it.state}{'' if it.state is State.READY else why}",
            )
        )
    return findings


def _kafka(home: Home) -> Finding:
    """Without its topics, which `campaigns prepare` is still to make."""
    refused = asyncio.run(refusal(home.settings()))
    return Finding("Kafka", refused is None, "lets us in" if refused is None else refused.sentence)


def _postgres(home: Home) -> Finding:
    refused = probe.refusal(home.settings())
    return Finding("Database", not refused, refused or "lets us in")


def _nats(home: Home) -> Finding:
    """As the bridge sees it: with the identity and the certificates of the settings."""
    try:
        return Finding("NATS", True, asyncio.run(found(home.settings())))
    except (NatsDownError, NatsRefusedError) as error:
        return Finding("NATS", False, str(error))


def _topics(home: Home) -> Finding:
    try:
        found = asyncio.run(topics.differences(home.settings()))
    except AccessRefusedError as refused:
        return Finding("Topics", False, str(refused))
    except KafkaError as error:
        return Finding("Topics", False, f"Kafka does not answer ({type(error).__name__})")
    return Finding("Topics", not found, "; ".join(found) or "as in the table")
