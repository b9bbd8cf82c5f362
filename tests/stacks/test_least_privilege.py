"""Every process with a user of its own in Kafka and a role of its own in PostgreSQL, each of which
may do its work and nothing else: a campaign goes through all of them.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from connectors.local.engines.engine import RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_listener import SecuredListener
from connectors.setup.prepare import prepare
from connectors.setup.topics import differences
from streams.kafka import clients
from streams.kafka.rights import PROCESSES, rules
from streams.settings import Settings
from streams.topics import Name
from tests.certificates import Authority
from tests.confluent import access
from tests.e2e import world
from tests.e2e.checker import assert_each_recipient_once, published_on_nats, sent_messages
from tests.e2e.processes import SHORTENED, WORKERS, Installation
from tests.eventually import eventually
from tests.smtp_server import relay
from tests.tables.installation.as_roles import Roles, with_roles

_PASSWORDS = {"broker": secrets.token_hex(8)} | {
    f"user{process}": secrets.token_hex(8) for process in PROCESSES
}
# The role of a process in PostgreSQL; the simulator needs none.
_LOGINS: Mapping[str, str] = {
    "setup": "migrations",
    "api": "api",
    **dict.fromkeys((*WORKERS, "deliver"), "workers"),
    "simulate": "nobody",
}


@dataclass(frozen=True)
class Divided:
    """An installation whose processes share nothing but addresses."""

    settings: Settings
    roles: Roles

    def of(self, process: str) -> Settings:
        """The settings of one process."""
        user = f"user{process}"
        return self.settings.model_copy(
            update={
                "kafka_user": user,
                "kafka_password": SecretStr(_PASSWORDS[user]),
                "postgres": self.roles.of(_LOGINS[process]),
            }
        )


class Processes(Installation):
    """Each with its own settings."""

    divided: Divided

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def start(
        self,
        name: str,
        environment: Mapping[str, str] | None = None,
        command: list[str] | None = None,
    ) -> None:
        own = self.divided.of(name).environment()
        own.pop("CAMPAIGNS_READY_FILE", None)
        super().start(name, {**own, **(environment or {})}, command)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Authority]]:
    folder = tmp_path_factory.mktemp("divided")
    authority = Authority(folder / "certificates")
    listener = SecuredListener(
        "SASL_SSL",
        authority.issue("127.0.0.1").both,
        authority.file,
        mechanisms=("SCRAM-SHA-512",),
        users=_PASSWORDS,
        has_rules=True,
    )
    kafka = Kafka(folder / "kafka", free_port(), free_port(), listener=listener)
    engine = RunningEngine(kafka, folder / "kafka.log")
    engine.start()
    yield engine.address, authority
    engine.stop()


def _allow(settings: Settings) -> None:
    """The rules that `campaigns roles kafka` prints, made by another client."""
    bindings = [
        AclBinding(
            ResourceType[rule.resource.upper().replace("-", "_")],
            rule.name,
            ResourcePatternType.PREFIXED if rule.is_prefix else ResourcePatternType.LITERAL,
            f"User:user{rule.process}",
            "*",
            AclOperation[_spelled(rule.operation)],
            AclPermissionType.ALLOW,
        )
        for rule in rules(settings.topic_prefix)
    ]
    admin = AdminClient(access(settings))
    for made in admin.create_acls(bindings).values():
        made.result(30)


def _spelled(operation: str) -> str:
    """`AlterConfigs` as the client's enumeration has it."""
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in operation).lstrip("_")


@pytest.fixture
async def divided(
    broker: tuple[str, Authority], database: str, nats: str
) -> AsyncIterator[Divided]:
    address, authority = broker
    settings = Settings(
        kafka=address,
        kafka_security="SASL_SSL",
        kafka_mechanism="SCRAM-SHA-512",
        kafka_user="broker",
        kafka_password=SecretStr(_PASSWORDS["broker"]),
        kafka_ca_file=str(authority.file),
        postgres=database,
        nats=nats,
        topic_prefix=f"t{secrets.token_hex(4)}-",
        partitions=2,
        hour=SHORTENED["hour"],
        day=SHORTENED["day"],
        api_port=free_port(),
        message_keys=(SecretStr(secrets.token_hex(32)),),
        routes="any",
    )
    _allow(settings)
    async with with_roles(database) as roles:
        made = Divided(settings, roles)
        await prepare(made.of("setup"))
        await roles.apply()
        yield made


@asynccontextmanager
async def _running(divided: Divided, folder: Path) -> AsyncIterator[Processes]:
    more = {
        "api": [sys.executable, "-m", "api.server"],
        "simulate": [sys.executable, "-m", "connectors.simulator"],
        "deliver": [sys.executable, "-m", "agents.worker", "deliver"],
    }
    processes = Processes(divided.settings, folder, extra=more)
    processes.divided = divided
    await asyncio.to_thread(processes.__enter__)
    try:
        yield processes
    finally:
        await asyncio.to_thread(processes.__exit__, None, None, None)


async def _is_up(url: str, processes: Processes) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            ready = await client.get(f"{url}/readyz", timeout=2)
        except httpx.TransportError:
            return False
    ends = {name: processes.log(name)[-400:] for name in WORKERS if not processes.is_ready(name)}
    assert not ends, ends
    return ready.is_success


@pytest.mark.timeout(600)
async def test_a_campaign_goes_through_processes_that_may_only_do_their_own_work(
    divided: Divided, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{divided.settings.api_port}"
    connection = await world.connect(divided.settings.postgres)
    acme = await world.tenant(connection, "acme")
    async with _running(divided, tmp_path) as processes:
        await eventually(lambda: _is_up(url, processes), within=300)
        rest = world.Rest(url, acme.key)
        campaign, people, again = await _sent(rest)

        async def is_counted() -> bool:
            assert (await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed"
            stats = await rest("GET", f"/campaigns/{campaign}/stats")
            assert stats["sentCount"] == len(people) and stats["deliveredCount"] > 0
            ledger = "SELECT count(*) FROM campaign_recipients WHERE sent_at IS NOT NULL"
            assert await connection.fetchval(ledger) == len(people)
            return True

        await eventually(is_counted, within=300)
        assert_each_recipient_once(sent_messages(divided.settings), {campaign: people})
        published = await published_on_nats(divided.settings)
        assert len(published["campaign.message.sent"]) == len(people)
        async with relay() as sink:
            await rest("PUT", "/tenant/routes/relay", _route(sink.port))
            await again()
            await eventually(lambda: sink.mails == len(people), within=300)
        assert [name for name, one in processes.processes.items() if one.restarts] == []
        await rest.close()
    await connection.close()
    for name in processes.processes:
        log = processes.log(name)
        for refusal in ("permission denied", "must be owner", "AuthorizationFailed"):
            assert refusal not in log, name


async def _sent(rest: world.Rest) -> tuple[str, set[str], Callable[[], Awaitable[str]]]:
    """A campaign to people who were all made over REST: its id, and theirs; and another one like
    it.
    """
    segment = (await rest("POST", "/segments", {"name": "all"}))["id"]
    people = set()
    for number in range(5):
        body = {"email": f"p{number}@example.com", "firstName": f"P{number}"}
        people.add((await rest("POST", "/contacts", body))["id"])
    await rest("POST", f"/segments/{segment}/members", {"contactIds": sorted(people)})
    template = {"name": "sale", "channel": "email", "content": dict(world.EMAIL)}
    made = (await rest("POST", "/templates", template))["id"]
    sender = {"fromName": "Acme", "fromEmail": "news@acme.example"}
    again = partial(rest.started, made, [segment], settings=sender)
    return await again(), people, again


def _route(port: int) -> dict[str, object]:
    return {
        "channel": "email",
        "provider": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "fromDomains": ["acme.example"],
    }


async def test_the_setup_may_compare_topics_and_correct_them(divided: Divided) -> None:
    assert await differences(divided.of("setup")) == []


@pytest.mark.parametrize(
    ("process", "topic"),
    [
        ("api", Name.MESSAGES),
        ("emit", Name.MESSAGES),
        ("bridge", Name.INCOMING),
        ("expand", Name.FACTS),
        ("simulate", Name.COMMANDS),
        ("deliver", Name.FACTS),
    ],
)
async def test_a_process_cannot_read_what_is_not_its_work(
    divided: Divided, process: str, topic: Name
) -> None:
    name = divided.settings.topic_prefix + topic
    consumer = clients.consumer(divided.of(process), group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(name, 0)])
        with pytest.raises(TopicAuthorizationFailedError):
            await asyncio.wait_for(consumer.getone(), 60)
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("process", "topic"),
    [
        ("api", Name.COMMANDS),
        ("bridge", Name.FACTS),
        ("stats", Name.MESSAGES),
        ("emit", Name.CONTROL_STATE),
        ("simulate", Name.MESSAGES),
        ("deliver", Name.MESSAGES),
    ],
)
async def test_a_process_cannot_write_what_is_not_its_work(
    divided: Divided, process: str, topic: Name
) -> None:
    producer = clients.producer(divided.of(process))
    await producer.start()
    try:
        with pytest.raises(KafkaError, match="Authoriz"):
            name = divided.settings.topic_prefix + topic
            await asyncio.wait_for(producer.send_and_wait(name, b"x", partition=0), 60)
    finally:
        await producer.stop()
