"""Kafka, PostgreSQL and NATS as others run them: each lets in only who has TLS and credentials."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, Engine, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_listener import SecuredListener
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from streams.settings import Settings
from tests.certificates import Authority, Pair
from tests.confluent import access
from tests.connectors.nats.secured import operator, tls
from tests.e2e.processes import SHORTENED
from tests.stacks import postgres_with_tls

USER, PASSWORD = "campaigns", "s3cret"
_PAGE = Path(__file__).parents[2] / "docs" / "operate" / "connections.md"
_RULE = re.compile(r"--resource-pattern-type prefixed --([a-z-]+) (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Servers:
    """The addresses, each for 127.0.0.1 and with a certificate that `authority` has signed."""

    kafka: str
    postgres: str  # host:port
    nats: str
    credentials: Path  # the `.creds` file of NATS's only user
    authority: Authority
    administrator: str  # password of Kafka's user `broker`

    def settings(self) -> Settings:
        """Of an installation of its own, whose database and topics `campaigns prepare` makes. It
        may do in Kafka what docs/operate/connections.md says that it has to.
        """
        name, ca = f"t{secrets.token_hex(4)}", str(self.authority.file)
        checked = f"sslmode=verify-full&sslrootcert={ca}"
        made = Settings(
            kafka=self.kafka,
            kafka_security="SASL_SSL",
            kafka_mechanism="SCRAM-SHA-512",
            kafka_user=USER,
            kafka_password=SecretStr(PASSWORD),
            kafka_ca_file=ca,
            postgres=f"postgresql://postgres:{PASSWORD}@{self.postgres}/{name}?{checked}",
            nats=self.nats,
            nats_credentials_file=str(self.credentials),
            nats_ca_file=ca,
            topic_prefix=f"{name}-",
            partitions=4,
            hour=SHORTENED["hour"],
            day=SHORTENED["day"],
            message_keys=(SecretStr(secrets.token_hex(32)),),
        )
        self._allow(made)
        return made

    def _allow(self, settings: Settings) -> None:
        broker = {"kafka_user": "broker", "kafka_password": SecretStr(self.administrator)}
        admin = AdminClient(access(settings.model_copy(update=broker)))
        rules = [
            AclBinding(
                ResourceType[kind.upper().replace("-", "_")],
                settings.topic_prefix + name,
                ResourcePatternType.PREFIXED,
                f"User:{USER}",
                "*",
                AclOperation.ALL,
                AclPermissionType.ALLOW,
            )
            for kind, name in _RULE.findall(_PAGE.read_text())
        ]
        assert len(rules) == 4
        for made in admin.create_acls(rules).values():
            made.result(30)


@contextmanager
def secured(folder: Path) -> Iterator[Servers]:
    """Starts the three and stops them."""
    authority = Authority(folder / "certificates")
    certificate = authority.issue("127.0.0.1")
    with ExitStack() as stack:

        def started(engine: Engine) -> RunningEngine:
            running = RunningEngine(engine, folder / f"{engine.role}.log")
            running.start()
            stack.callback(running.stop)
            return running

        administrator = secrets.token_hex(16)
        kafka = started(_kafka(folder / "kafka", authority, certificate, administrator))
        postgres = started(_postgres(folder / "postgres", certificate))
        accounts, credentials = operator(folder)
        lines = tls(authority) + accounts
        nats = started(Nats(folder / "nats", free_port(), OPEN, configuration=lines))
        host = postgres.address.partition("@")[2].partition("/")[0]
        yield Servers(kafka.address, host, nats.address, credentials, authority, administrator)


def _kafka(folder: Path, authority: Authority, certificate: Pair, administrator: str) -> Kafka:
    """Only SASL_SSL, only SCRAM-SHA-512, and nobody may do anything unless a rule allows it."""
    listener = SecuredListener(
        "SASL_SSL",
        certificate.both,
        authority.file,
        mechanisms=("SCRAM-SHA-512",),
        users={"broker": administrator, USER: PASSWORD},
        has_rules=True,
    )
    return Kafka(folder, free_port(), free_port(), listener)


def _postgres(folder: Path, certificate: Pair) -> Postgres:
    """Only TLS, only scram-sha-256. The password is set before that is so."""
    port, programs = free_port(), postgres_with_tls.programs()
    before = Postgres(folder, port, OPEN, programs=programs)
    open_to_all = RunningEngine(before, folder.with_suffix(".log"))
    open_to_all.start()
    with psycopg.connect(open_to_all.address) as connection:
        connection.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    open_to_all.stop()
    rules = folder / "pg_hba.conf"
    rules.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    files = {"ssl_cert_file": str(certificate.certificate), "ssl_key_file": str(certificate.key)}
    return Postgres(folder, port, OPEN, {"ssl": "on", **files}, programs)
