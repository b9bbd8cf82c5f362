"""The folder, the ports and the secrets of one local stack, and the environment made of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.local.engines.engine import Engine
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import DEMANDS, Postgres
from connectors.local.stack import credentials, home_folder
from connectors.local.stack.credentials import Credentials
from connectors.local.stack.home_folder import HomeError
from streams.settings import Settings, secret_files
from streams.settings.kafka_access import SECURITY, KafkaAccess
from streams.settings.nats_access import NatsAccess

DEFAULT_HOME = ".run"
DEFAULT_PORT_BASE = 19_090
PORTS = 40  # taken upwards from the base: 0-5 as below, from 10 the metrics of the processes
_FIRST_METRICS_PORT = 10
MOST_PROCESSES = PORTS - _FIRST_METRICS_PORT

# By the variable of an address, those that say how its server lets a process in.
_ACCESS = {
    f"CAMPAIGNS_{server.upper()}": {
        f"CAMPAIGNS_{name.upper()}" for name in access.model_fields if name.startswith(f"{server}_")
    }
    for server, access in (("kafka", KafkaAccess), ("nats", NatsAccess))
}


@dataclass(frozen=True)
class Home:
    """The place of one stack, for its owner alone. Two homes with port bases 40 apart live side by
    side.

    `given` are the CAMPAIGNS_… variables of the caller. Where one names a server, the local engine
    is not part of the stack.
    """

    folder: Path
    port_base: int
    given: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """Raises `HomeError` when CAMPAIGNS_PORT_BASE is not a usable number, or the folder is
        another user's, and `ValidationError` when a file that holds a secret cannot be used.
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
        place = Path(environ.get("CAMPAIGNS_HOME") or DEFAULT_HOME).absolute()
        home_folder.check_readable(place)
        return cls(place, int(base), given)

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
    def secrets_file(self) -> Path:
        return self.folder / "secrets.env"

    @property
    def demo_file(self) -> Path:
        return self.folder / "demo.json"

    @property
    def has_routes(self) -> bool:
        """Whether tenants may send by relays of their own."""
        return self.given.get("CAMPAIGNS_ROUTES", "off") != "off"

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
        """Returns the engines that are local, in no particular order. Needs `make_secrets`."""
        base, secrets = self.port_base, credentials.read(self.secrets_file)
        every: dict[str, Engine] = {
            "CAMPAIGNS_KAFKA": Kafka(self.folder / "kafka", base + 2, base + 3, secrets.kafka),
            "CAMPAIGNS_POSTGRES": Postgres(self.folder / "postgres", base + 4, secrets.postgres),
            "CAMPAIGNS_NATS": Nats(self.folder / "nats", base + 5, secrets.nats),
        }
        return [engine for variable, engine in every.items() if variable not in self.given]

    def addresses(self) -> dict[str, str]:
        """The addresses of all servers, with the passwords of PostgreSQL and those that given ones
        hold: never print them.
        """
        return {
            "api": self.api_url,
            "kafka": self.given.get("CAMPAIGNS_KAFKA", f"127.0.0.1:{self.port_base + 2}"),
            "postgres": self.given.get("CAMPAIGNS_POSTGRES") or self._postgres(),
            "nats": self.given.get("CAMPAIGNS_NATS", f"nats://127.0.0.1:{self.port_base + 5}"),
            "metrics": f"http://127.0.0.1:{self.metrics_port(0)}/metrics",
        }

    def _postgres(self) -> str:
        """The address of the local PostgreSQL. One of version 0.1.0 that is still running lets in
        everybody.
        """
        port, secrets = self.port_base + 4, self._credentials()
        if not secrets.have_passwords:
            return f"postgresql://postgres@127.0.0.1:{port}/campaigns"
        return Postgres(self.folder / "postgres", port, secrets.postgres).address

    def shown_addresses(self) -> dict[str, str]:
        """The addresses without passwords, as `campaigns status` shows them."""
        return {
            name: without_secrets(address).removesuffix(DEMANDS)
            for name, address in self.addresses().items()
        }

    def environment(self) -> dict[str, str]:
        """Returns the CAMPAIGNS_… variables of every process of this stack; the caller's own win,
        but for those with which the local engines let processes in. Makes the secrets of a new
        home.
        """
        if not self.secrets_file.exists():
            self.make_secrets()
        addresses, secrets = self.addresses(), self._credentials()
        local = {
            "CAMPAIGNS_KAFKA": addresses["kafka"],
            "CAMPAIGNS_POSTGRES": addresses["postgres"],
            "CAMPAIGNS_NATS": addresses["nats"],
            "CAMPAIGNS_API_PORT": str(self.api_port),
            "CAMPAIGNS_PUBLIC_URL": self.api_url,
        }
        access = dict[str, str]()
        if secrets.have_passwords and "CAMPAIGNS_KAFKA" not in self.given:
            access |= secrets.of_kafka()
        if secrets.have_passwords and "CAMPAIGNS_NATS" not in self.given:
            access |= secrets.of_nats()
        place = {"CAMPAIGNS_HOME": str(self.folder), "CAMPAIGNS_PORT_BASE": str(self.port_base)}
        return {**local, **secrets.message_keys, **self.given, **access, **place}

    def settings(self) -> Settings:
        """Returns the settings of every process of this stack. Raises pydantic's `ValidationError`,
        and `HomeError` when they are meant for another Kafka or NATS than the local one.
        """
        self._check_given()
        return Settings.model_validate(
            {
                name.removeprefix("CAMPAIGNS_").lower(): value
                for name, value in self.environment().items()
            }
        )

    def make(self) -> None:
        """Creates the folder, and closes it to all users but its owner. Raises `HomeError` when it
        cannot be used.
        """
        home_folder.make(self.folder)

    def make_secrets(self) -> None:
        """Makes the folder and the secrets that are missing. A home of version 0.1.0, whose engines
        must not run any more, gets passwords, and its files are closed. Raises `HomeError`.
        """
        self.make()
        if not self._credentials().have_passwords:
            home_folder.close_entries(self.folder)
            credentials.complete(self.secrets_file)

    def _credentials(self) -> Credentials:
        if not self.secrets_file.exists():
            return Credentials({})
        return credentials.read(self.secrets_file)

    def _check_given(self) -> None:
        for address, whose in (("CAMPAIGNS_KAFKA", "broker"), ("CAMPAIGNS_NATS", "NATS server")):
            if address in self.given:
                continue
            for name, value in self.given.items():
                if name in _ACCESS[address] and (name, value) != (SECURITY, "PLAINTEXT"):
                    raise HomeError(
                        f"{name} is set without {address}: the local {whose} has a user and a"
                        " password of its own"
                    )


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
