"""Kafka, PostgreSQL and NATS as clusters: three brokers, a primary with a synchronous standby, and
three servers.
"""

from __future__ import annotations

import secrets
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, Engine, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres, as_user, binaries
from streams.kafka import clients
from streams.settings import Settings
from tests.e2e.processes import SHORTENED
from tests.eventually import eventually_sync

_WITHIN = timedelta(seconds=300)
_STANDBY = "standby"


@dataclass
class Clusters:
    """All of them, running. The one that is killed is started again with `start`."""

    brokers: Sequence[RunningEngine]
    servers: Sequence[RunningEngine]  # of NATS
    primary: RunningEngine
    standby: RunningEngine

    def settings(self, **more: object) -> Settings:
        """Of an installation of its own, whose database and topics `campaigns prepare` makes."""
        name = f"t{secrets.token_hex(4)}"
        hosts = ",".join(
            engine.address.partition("@")[2].partition("/")[0]
            for engine in (self.primary, self.standby)
        )
        made = {
            "kafka": ",".join(broker.address for broker in self.brokers),
            "nats": ",".join(server.address for server in self.servers),
            "postgres": f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write"
            "&connect_timeout=3",
            "topic_prefix": f"{name}-",
            "partitions": 4,
            "replication_factor": 3,
            **SHORTENED,
            "message_keys": (SecretStr(secrets.token_hex(32)),),
        }
        return Settings.model_validate({**made, **more})

    def fail_over(self) -> None:
        """Kill the primary and make the standby the primary, as a cluster manager would."""
        self.primary.kill()
        with psycopg.connect(self.standby.address, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")


@contextmanager
def clustered(folder: Path) -> Iterator[Clusters]:
    """Starts all of them and stops them."""
    with ExitStack() as stack:

        def running(engine: Engine, name: str) -> RunningEngine:
            made = RunningEngine(engine, folder / f"{name}.log")
            stack.callback(made.stop)
            return made

        brokers = [
            running(broker, f"kafka-{number}")
            for number, broker in enumerate(_brokers(folder), start=1)
        ]
        servers = [
            running(server, f"nats-{number}") for number, server in enumerate(_servers(folder))
        ]
        for server in servers:
            server.start(_WITHIN)
        start_together(brokers)
        primary = running(Postgres(folder / "primary", free_port(), OPEN, _DURABLE), "primary")
        primary.start(_WITHIN)
        standby = running(_standby_of(primary, folder / _STANDBY), _STANDBY)
        standby.start(_WITHIN)
        _wait_for_standby(primary)
        yield Clusters(brokers, servers, primary, standby)


# A machine that survives the kill of a process keeps what the process wrote.
_DURABLE = {"fsync": "off", "full_page_writes": "on", "wal_level": "replica"}
REPLICATED = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "unclean.leader.election.enable": "false",
}


def _brokers(folder: Path) -> list[Kafka]:
    cluster = uuid.uuid4()
    ports = {number: (free_port(), free_port()) for number in (1, 2, 3)}
    voters = ",".join(f"{number}@127.0.0.1:{ports[number][1]}" for number in ports)
    return [
        Kafka(
            folder / f"kafka-{number}",
            *ports[number],
            OPEN,
            heap="256m",
            properties={**REPLICATED, "node.id": str(number), "controller.quorum.voters": voters},
            cluster=cluster,
        )
        for number in ports
    ]


def start_together(brokers: Sequence[RunningEngine]) -> None:
    """None of them is ready before a second one is there."""
    for broker in brokers:
        broker.launch()
    for broker in brokers:
        broker.wait(_WITHIN)


def move_leaders_back(settings: Settings) -> None:
    """Every partition to the first broker of its list, those that are there already aside."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    topics = admin.list_topics(timeout=60).topics.values()
    every = [TopicPartition(it.topic, number) for it in topics for number in it.partitions]
    admin.elect_leaders(ElectionType.PREFERRED, every).result(60)


async def is_whole(settings: Settings) -> bool:
    """Whether every copy of every partition is in sync."""
    async with clients.admin(settings) as admin:
        described = await admin.describe_topics(await admin.list_topics())
    return all(
        len(partition["isr"]) == len(partition["replicas"])
        for topic in described
        for partition in topic["partitions"]
    )


def _servers(folder: Path) -> list[Nats]:
    routes = [free_port() for _ in range(3)]
    return [
        Nats(
            folder / f"nats-{number}",
            free_port(),
            OPEN,
            configuration=f"server_name: n{number}\n"
            f"cluster {{ name: c, listen: '127.0.0.1:{route}', routes: ["
            + ", ".join(f"'nats://127.0.0.1:{other}'" for other in routes if other != route)
            + "] }\n",
        )
        for number, route in enumerate(routes)
    ]


def _standby_of(primary: RunningEngine, folder: Path) -> Postgres:
    program = str(binaries() / "pg_basebackup")
    source = f"{primary.address}?application_name={_STANDBY}"
    command = [*as_user(), program, "-d", source, "-D", str(folder), "-R", "-c", "fast"]
    subprocess.run(command, check=True, capture_output=True)
    return Postgres(folder, free_port(), OPEN, _DURABLE)


def _wait_for_standby(primary: RunningEngine) -> None:
    """From now on a commit is answered when the standby has it, too."""
    with psycopg.connect(primary.address, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{_STANDBY}'")
        connection.execute("SELECT pg_reload_conf()")
        eventually_sync(
            lambda: (
                connection.execute(
                    "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
                ).fetchone()
                == (1,)
            ),
            within=300,
        )
