"""The secrets of one stack: the keys of its message ids and the passwords of its engines."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.local.engines import private_files
from connectors.local.engines.engine import Account
from connectors.local.engines.kafka_listener import SecuredListener
from streams.settings import kafka_access, nats_access

USER = "campaigns"  # in all three engines; of PostgreSQL the database, too
_BROKER = "broker"
_MESSAGE_KEYS = "CAMPAIGNS_MESSAGE_KEYS"
_PASSWORDS = ("KAFKA_PASSWORD", "KAFKA_BROKER_PASSWORD", "POSTGRES_PASSWORD", "NATS_PASSWORD")


@dataclass(frozen=True)
class Credentials:
    """The content of a home's `secrets.env`. A home that was made by version 0.1.0, and has not
    been started since, has no passwords.
    """

    values: Mapping[str, str]

    @property
    def have_passwords(self) -> bool:
        return all(self.values.get(name) for name in _PASSWORDS)

    @property
    def message_keys(self) -> dict[str, str]:
        """As a variable; empty when there are none."""
        return {name: value for name, value in self.values.items() if name == _MESSAGE_KEYS}

    @property
    def kafka(self) -> SecuredListener:
        """A user for the broker itself and its controller, and one for everybody else."""
        users = {
            _BROKER: self.values["KAFKA_BROKER_PASSWORD"],
            USER: self.values["KAFKA_PASSWORD"],
        }
        return SecuredListener("SASL_PLAINTEXT", mechanisms=("PLAIN",), users=users)

    @property
    def postgres(self) -> Account:
        return Account(USER, self.values["POSTGRES_PASSWORD"])

    @property
    def nats(self) -> Account:
        return Account(USER, self.values["NATS_PASSWORD"])

    def of_kafka(self) -> dict[str, str]:
        """The variables with which a process signs in, besides the address."""
        return {
            kafka_access.SECURITY: "SASL_PLAINTEXT",
            kafka_access.MECHANISM: "PLAIN",
            kafka_access.USER: USER,
            kafka_access.PASSWORD: self.values["KAFKA_PASSWORD"],
        }

    def of_nats(self) -> dict[str, str]:
        """The variables with which a process signs in, besides the address."""
        return {nats_access.USER: USER, nats_access.PASSWORD: self.values["NATS_PASSWORD"]}


def read(file: Path) -> Credentials:
    """Raises `OSError`, such as FileNotFoundError."""
    lines = file.read_text().splitlines()
    return Credentials(dict(line.split("=", 1) for line in lines if "=" in line))


def complete(file: Path) -> None:
    """Adds what is missing, and makes the file when there is none. Secrets that exist stay: new
    keys would disown every message id that was signed before. Raises `OSError`.
    """
    kept = dict(read(file).values) if file.exists() else {}
    missing = [name for name in (_MESSAGE_KEYS, *_PASSWORDS) if not kept.get(name)]
    if missing:
        kept |= {name: secrets.token_hex(32) for name in missing}
        private_files.write(file, "".join(f"{name}={value}\n" for name, value in kept.items()))
