"""The folder, the ports and the secrets of one local stack, and the environment made of them."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.local.engines.engine import Engine
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from streams.settings import Settings, secret_files
from streams.settings.kafka_access import SECURITY

DEFAULT_HOME = ".run"
DEFAULT_PORT_BASE = 19_090
PORTS = 40  # taken upwards from the base: 0-5 as below, from 10 the metrics of the processes
_FIRST_METRICS_PORT = 10
MOST_PROCESSES = PORTS - _FIRST_METRICS_PORT

# Everything a stack writes into its folder; `reset` removes these and nothing else.
OWN_ENTRIES = (
    "kafka",
    "postgres",
    "nats",
    "logs",
    "ready",
    "simulator",
    "status.json",
    "demo.json",
    "secrets.env",
    "supervisor.lock",
)


class HomeError(RuntimeError):
    """The folder or the ports of the local stack cannot be used; the message says what
    to change.
    """


@dataclass(frozen=True)
class Home:
    """The place of one stack. Two homes with port bases 40 apart live side by side.

    `given` are the CAMPAIGNS_… variables of the caller. Where one names a server, the local engine
    is not part of the stack.
    """

    folder: Path
    port_base: int
    given: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """Raises `HomeError` when CAMPAIGNS_PORT_BASE is not a usable number, and `ValidationError`
        when a file that holds a secret cannot be used.
        """
        base = environ.get("CAMPAIGNS_PORT_BASE", str(DEFAULT_PORT_BASE))
        if not base.isdecimal() or not 1024 <= int(base) <= 65_535 - PORTS:
            raise HomeError(
                f"CAMPAIGNS_PORT_BASE is {base!r}:"
                f" it must be a number from 1024 to {65_535 - PORTS}"
            )
        given = {
            name: value
            for name, value in environ.items()
            if name.startswith("CAMPAIGNS_") and value
        }
        for name, value in secret_files.read(Settings, environ).items():
            variable = secret_files.variable_of(name)
            # read here, so no process shall read it again: both together are refused
            given |= {variable: value, f"{variable}_FILE": ""}
        return cls(Path(environ.get("CAMPAIGNS_HOME") or DEFAULT_HOME).absolute(), int(base), given)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def status_file(self) -> Path:
        return self.folder / "status.json"

    @property
    def lock_file(self) -> Path:
        """The supervisor locks this file for as long as it lives; the file holds its pid."""
        return self.folder / "supervisor.lock"

    @property
    def demo_file(self) -> Path:
        return self.folder / "demo.json"

    def ready_file(self, name: str) -> Path:
        return self.folder / "ready" / f"{name}.json"

    @property
    def api_port(self) -> int:
        return self.port_base

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def metrics_port(self, position: int) -> int:
        """The port of the process at this position of the role table's order."""
        return self.port_base + _FIRST_METRICS_PORT + position

    def engines(self) -> list[Engine]:
        """Returns the engines that are local, in no particular order."""
        base = self.port_base
        every: dict[str, Engine] = {
            "CAMPAIGNS_KAFKA": Kafka(self.folder / "kafka", base + 2, base + 3),
            "CAMPAIGNS_POSTGRES": Postgres(self.folder / "postgres", base + 4),
            "CAMPAIGNS_NATS": Nats(self.folder / "nats", base + 5),
        }
        return [engine for variable, engine in every.items() if variable not in self.given]

    def addresses(self) -> dict[str, str]:
        """The addresses of all servers, with the passwords that given ones hold: never
        print them.
        """
        return {
            "api": self.api_url,
            "kafka": self.given.get("CAMPAIGNS_KAFKA", f"127.0.0.1:{self.port_base + 2}"),
            "postgres": self.given.get(
                "CAMPAIGNS_POSTGRES",
                f"postgresql://postgres@127.0.0.1:{self.port_base + 4}/campaigns",
            ),
            "nats": self.given.get("CAMPAIGNS_NATS", f"nats://127.0.0.1:{self.port_base + 5}"),
            "metrics": f"http://127.0.0.1:{self.metrics_port(0)}/metrics",
        }

    def shown_addresses(self) -> dict[str, str]:
        """The addresses without passwords, as `campaigns status` shows them."""
        return {name: without_secrets(address) for name, address in self.addresses().items()}

    def environment(self) -> dict[str, str]:
        """Returns the CAMPAIGNS_… variables of every process of this stack; the caller's own win.
        Creates the secrets when they are missing.
        """
        addresses = self.addresses()
        local = {
            "CAMPAIGNS_KAFKA": addresses["kafka"],
            "CAMPAIGNS_POSTGRES": addresses["postgres"],
            "CAMPAIGNS_NATS": addresses["nats"],
            "CAMPAIGNS_API_PORT": str(self.api_port),
            "CAMPAIGNS_PUBLIC_URL": self.api_url,
        }
        place = {"CAMPAIGNS_HOME": str(self.folder), "CAMPAIGNS_PORT_BASE": str(self.port_base)}
        return {**local, **self._secrets(), **self.given, **place}

    def settings(self) -> Settings:
        """Returns the settings of every process of this stack. Raises pydantic's `ValidationError`,
        and `HomeError` when they are meant for another Kafka than the local one.
        """
        if "CAMPAIGNS_KAFKA" not in self.given and self.given.get(SECURITY, "PLAINTEXT") != (
            "PLAINTEXT"
        ):
            raise HomeError(
                f"{SECURITY} is set without CAMPAIGNS_KAFKA: the local broker speaks PLAINTEXT"
            )
        return Settings.model_validate(
            {
                name.removeprefix("CAMPAIGNS_").lower(): value
                for name, value in self.environment().items()
            }
        )

    def _secrets(self) -> dict[str, str]:
        """Reads the secrets, which are made once and readable by the owner alone: new keys would
        disown every message id signed before.
        """
        file = self.folder / "secrets.env"
        kept = (
            dict(line.split("=", 1) for line in file.read_text().splitlines())
            if file.exists()
            else {}
        )
        if "CAMPAIGNS_MESSAGE_KEYS" not in kept:
            kept["CAMPAIGNS_MESSAGE_KEYS"] = secrets.token_hex(32)
            self.make()
            draft = file.with_suffix(".new")
            # os.open, so that the file has its mode from the start
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as sink:
                sink.writelines(f"{name}={value}\n" for name, value in kept.items())
            draft.replace(file)
        return kept

    def make(self) -> None:
        """Creates the folder. Raises `HomeError` when it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "ready").mkdir(exist_ok=True)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"{self.folder} cannot be written ({error.strerror}):"
                " set CAMPAIGNS_HOME to a folder that can"
            ) from error


def without_secrets(address: str) -> str:
    """Returns a URL, a comma-separated list of URLs, or a `name=value` DSN, with stars for every
    password and NATS token.
    """
    address = re.sub(
        r"(//[^:/@\s]*:)[^\s,]*@", r"\1***@", address
    )  # up to the last @: a password may hold one
    address = re.sub(
        r"((?:nats|tls|wss?)://)[^:/@\s]+@", r"\1***@", address
    )  # a user without a password is a token
    return re.sub(r"(?i)(password\s*=\s*)('[^']*'|[^\s&]+)", r"\1***", address)
