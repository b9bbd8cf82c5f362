"""Parts of an installation in networks of their own, and silent cuts between one of them and
everybody else. For root, in `unshare --net --mount`: nothing of it stays.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from connectors.local.engines.engine import OPEN, answers
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_probe import names_a_broker
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres, binaries

BROKERS = ("broker-1", "broker-2", "broker-3")
POSTGRES, NATS, WORKER = "postgres", "nats", "worker"
_PLACES = {name: number for number, name in enumerate((*BROKERS, POSTGRES, NATS, WORKER), start=1)}
_MIDDLE = 254  # where everything else is


def host(name: str) -> str:
    """The address of a part."""
    return _host(_PLACES[name])


def inside(name: str) -> list[str]:
    """The words before a command that runs in the network of this name."""
    return ["ip", "netns", "exec", name]


def cut(name: str) -> None:
    """From now on nothing reaches the part, and nothing comes from it; nobody is told."""
    _ip(f"link set {_wire(name)} down")


def heal(name: str) -> None:
    _ip(f"link set {_wire(name)} up")


def make_networks() -> None:
    """One for each part; their wires meet where everything else is. Everybody knows everybody's
    hardware address: a kernel that asks for it in vain says that the host is unreachable, which no
    router on the way would say.
    """
    _ip(f"link add middle address {_hardware(_MIDDLE)} type bridge")
    _ip(f"addr add {_host(_MIDDLE)}/24 dev middle")
    _ip("link set middle up")
    for name, number in _PLACES.items():
        _ip(f"netns add {name}")
        _ip(f"link add {_wire(name)} type veth peer name eth0 netns {name}")
        _ip(f"link set {_wire(name)} master middle up")
        _ip(f"-n {name} link set lo up")
        _ip(f"-n {name} link set eth0 address {_hardware(number)} up")
        _ip(f"-n {name} addr add {_host(number)}/24 dev eth0")
        _introduce(f"-n {name} ", "eth0", number)
    _introduce("", "middle", _MIDDLE)


def _introduce(where: str, device: str, itself: int) -> None:
    for number in (*_PLACES.values(), _MIDDLE):
        if number != itself:
            known = f"{_host(number)} lladdr {_hardware(number)} dev {device} nud permanent"
            _ip(f"{where}neigh replace {known}")


def _host(number: int) -> str:
    return f"10.99.0.{number}"


def _hardware(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def _wire(name: str) -> str:
    return f"w-{name}"


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


@dataclass(frozen=True)
class KafkaApart(Kafka):
    """A broker in the network of its name."""

    name: str = ""

    @property
    def address(self) -> str:
        return f"{host(self.name)}:{self.port}"

    def prepare(self) -> list[str]:
        return [*inside(self.name), *super().prepare()]

    def is_ready(self) -> bool:
        return names_a_broker(self.port, OPEN, host(self.name))


@dataclass(frozen=True)
class PostgresApart(Postgres):
    """PostgreSQL in a network of its own, which lets everybody in."""

    @property
    def address(self) -> str:
        return super().address.replace("127.0.0.1", host(POSTGRES))

    def prepare(self) -> list[str]:
        command = super().prepare()
        (self.folder / "pg_hba.conf").write_text("host all all all trust\n")
        return [*inside(POSTGRES), *command, "-c", f"listen_addresses={host(POSTGRES)}"]

    def is_ready(self) -> bool:
        command = [str(binaries() / "pg_isready"), "-q", "-t", "2", "-d", self.address]
        return subprocess.run(command, check=False).returncode == 0


@dataclass(frozen=True)
class NatsApart(Nats):
    """NATS in a network of its own."""

    @property
    def address(self) -> str:
        return super().address.replace("127.0.0.1", host(NATS))

    def prepare(self) -> list[str]:
        command = [host(NATS) if word == "127.0.0.1" else word for word in super().prepare()]
        return [*inside(NATS), *command]

    def is_ready(self) -> bool:
        return b'"jetstream":true' in answers(host(NATS), self.port, b"", 200)
