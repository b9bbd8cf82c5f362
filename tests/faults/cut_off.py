"""An installation whose three brokers are each in a network of their own, and a cut between one of
them and everybody else while all live: `python -m tests.faults.cut_off FOLDER SEED`, as root in
`unshare --net --mount`, so that nothing of it stays. Prints a line of JSON with what was counted.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_probe import names_a_broker
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from streams.settings import Settings
from tests.e2e.conftest import installed
from tests.eventually import eventually
from tests.faults.scene import Scene, Site, outcome, scene
from tests.stacks.clustered import REPLICATED, is_whole, start_together

_NUMBERS = (1, 2, 3)
_CLIENTS, _CONTROLLERS = 9092, 9093
_WITHIN = timedelta(seconds=300)


@dataclass(frozen=True)
class _Apart(Kafka):
    """A broker in the network of its number."""

    number: int = 0

    @property
    def address(self) -> str:
        return f"{_host(self.number)}:{self.port}"

    def prepare(self) -> list[str]:
        return ["ip", "netns", "exec", _network(self.number), *super().prepare()]

    def is_ready(self) -> bool:
        return names_a_broker(self.port, OPEN, _host(self.number))


def _host(number: int) -> str:
    return f"10.99.0.{number}"


def _network(number: int) -> str:
    return f"broker-{number}"


def _wire(number: int) -> str:
    return f"wire-{number}"


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def _make_networks() -> None:
    """One for each broker; their wires meet where everything else is."""
    _ip("link add middle type bridge")
    _ip("addr add 10.99.0.254/24 dev middle")
    _ip("link set middle up")
    for number in _NUMBERS:
        network, wire = _network(number), _wire(number)
        _ip(f"netns add {network}")
        _ip(f"link add {wire} type veth peer name eth0 netns {network}")
        _ip(f"link set {wire} master middle up")
        _ip(f"-n {network} link set lo up")
        _ip(f"-n {network} addr add {_host(number)}/24 dev eth0")
        _ip(f"-n {network} link set eth0 up")


def _brokers(folder: Path) -> list[_Apart]:
    cluster = uuid.uuid4()
    voters = ",".join(f"{number}@{_host(number)}:{_CONTROLLERS}" for number in _NUMBERS)
    return [
        _Apart(
            folder / _network(number),
            _CLIENTS,
            _CONTROLLERS,
            OPEN,
            heap="256m",
            properties={
                **REPLICATED,
                "node.id": str(number),
                "controller.quorum.voters": voters,
                "listeners": f"CLIENTS://{_host(number)}:{_CLIENTS}"
                f",CONTROLLER://{_host(number)}:{_CONTROLLERS}",
                "advertised.listeners": f"CLIENTS://{_host(number)}:{_CLIENTS}",
            },
            cluster=cluster,
            number=number,
        )
        for number in _NUMBERS
    ]


@contextmanager
def _site(folder: Path) -> Iterator[Site]:
    with ExitStack() as stack:

        def running(engine: Kafka | Postgres | Nats, name: str) -> RunningEngine:
            made = RunningEngine(engine, folder / f"{name}.log")
            stack.callback(made.stop)
            return made

        brokers = [running(broker, _network(broker.number)) for broker in _brokers(folder)]
        postgres = running(Postgres(folder / "postgres", free_port(), OPEN), "postgres")
        nats = running(Nats(folder / "nats", free_port(), OPEN), "nats")
        start_together(brokers)
        for engine in (postgres, nats):
            engine.start(_WITHIN)
        settings = Settings(
            kafka=",".join(broker.address for broker in brokers),
            postgres=f"{postgres.address.rpartition('/')[0]}/cut_off",
            nats=nats.address,
            partitions=4,
            replication_factor=3,
            nats_replicas=1,
            message_keys=(SecretStr(secrets.token_hex(32)),),
        )
        with installed(settings, folder) as running_installation:
            yield Site(running_installation, brokers[0], postgres, nats)


async def _cut_each_off(of: Scene) -> None:
    """Each broker in turn cannot be reached and reaches nobody, while it lives and takes itself for
    the leader of its partitions. The others go on; afterwards it gets its partitions back.
    """
    for number in of.dice.sample(_NUMBERS, len(_NUMBERS)):
        _ip(f"link set {_wire(number)} down")
        await of.goes_on()
        await asyncio.sleep(of.dice.uniform(0, 5))  # how long it lasts is the fault itself
        _ip(f"link set {_wire(number)} up")
        await eventually(lambda: is_whole(of.site.settings), within=300)
        await asyncio.to_thread(_move_leaders_back, of.site.settings)


def _move_leaders_back(settings: Settings) -> None:
    """Every partition to the first broker of its list, those that are there already aside."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    topics = admin.list_topics(timeout=60).topics.values()
    every = [TopicPartition(it.topic, number) for it in topics for number in it.partitions]
    admin.elect_leaders(ElectionType.PREFERRED, every).result(60)


async def _counted(site: Site, seed: int) -> dict[str, object]:
    async with scene(site, seed, (9_000, 600), (1_500, 200)) as of:
        await _cut_each_off(of)
        await of.goes_on()
        found = await outcome(of)
    return {
        "recipients": of.recipients,
        "events": found.events,
        "violations": found.violations,
    }


def main(arguments: Sequence[str]) -> None:
    folder, seed = Path(arguments[0]), int(arguments[1])
    _make_networks()
    with _site(folder) as site:
        found = asyncio.run(_counted(site, seed))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
