"""Kafka, PostgreSQL and NATS as others run them: each lets in only who has TLS and credentials."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from connectors.local.engines.engine import Engine, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_listener import SecuredListener
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from streams.settings import Settings
from tests.certificates import Authority, Pair
from tests.conftest import run
from tests.stacks import postgres_with_tls

USER, PASSWORD = "campaigns", "s3cret"


@dataclass(frozen=True)
class Servers:
    """The addresses, each for 127.0.0.1 and with a certificate that `authority` has signed."""

    kafka: str
    postgres: str  # host:port
    nats: str
    authority: Authority

    def settings(self) -> Settings:
        """Of an installation of its own, whose database and topics `campaigns prepare` makes."""
        name, ca = f"t{secrets.token_hex(4)}", str(self.authority.file)
        checked = f"sslmode=verify-full&sslrootcert={ca}"
        return Settings(
            kafka=self.kafka,
            kafka_security="SASL_SSL",
            kafka_mechanism="SCRAM-SHA-512",
            kafka_user=USER,
            kafka_password=SecretStr(PASSWORD),
            kafka_ca_file=ca,
            postgres=f"postgresql://postgres:{PASSWORD}@{self.postgres}/{name}?{checked}",
            nats=self.nats,
            topic_prefix=f"{name}-",
            partitions=4,
            message_keys=(SecretStr(secrets.token_hex(32)),),
        )


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

        kafka = started(_kafka(folder / "kafka", authority, certificate))
        postgres = started(_postgres(folder / "postgres", certificate))
        # NATS joins here with TLS and credentials when the bridge speaks them.
        nats = started(Nats(folder / "nats", free_port()))
        host = postgres.address.partition("@")[2].partition("/")[0]
        yield Servers(kafka.address, host, nats.address, authority)


def _kafka(folder: Path, authority: Authority, certificate: Pair) -> Kafka:
    """Only SASL_SSL, only SCRAM-SHA-512."""
    listener = SecuredListener(
        "SASL_SSL",
        certificate.both,
        authority.file,
        mechanisms=("SCRAM-SHA-512",),
        users={"broker": secrets.token_hex(16), USER: PASSWORD},
    )
    return Kafka(folder, free_port(), free_port(), listener=listener)


def _postgres(folder: Path, certificate: Pair) -> Postgres:
    """Only TLS, only scram-sha-256. The password is set before that is so."""
    port, programs = free_port(), postgres_with_tls.programs()
    before = Postgres(folder, port, programs=programs)
    open_to_all = RunningEngine(before, folder.with_suffix(".log"))
    open_to_all.start()
    run(_set_password(open_to_all.address))
    open_to_all.stop()
    rules = folder / "pg_hba.conf"
    rules.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    files = {"ssl_cert_file": str(certificate.certificate), "ssl_key_file": str(certificate.key)}
    return Postgres(folder, port, {"ssl": "on", **files}, programs)


async def _set_password(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    await connection.close()
