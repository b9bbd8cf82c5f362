"""Real engines for the whole session, and a fresh database, topic prefix and settings for every
test.

The engines start when the first test asks for them, on free loopback ports in a temporary folder,
and are stopped at the end.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar

import hypothesis
import pytest
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, Engine, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from connectors.setup import topics
from streams.settings import Settings
from tests.postgres import connect as connect_client

T = TypeVar("T")
_TEMPLATE = "campaigns_template"

hypothesis.settings.register_profile(
    "campaigns", deadline=None
)  # slow is not wrong: the machine may be busy
hypothesis.settings.load_profile("campaigns")


def pytest_configure() -> None:
    """A test's settings are what it says, not what the shell that started it says."""
    for name in Settings.model_fields:
        os.environ.pop(f"CAMPAIGNS_{name.upper()}", None)
        os.environ.pop(f"CAMPAIGNS_{name.upper()}_FILE", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """After a session without failures nothing is left in the system's temporary folder, not even
    pytest's own folder; that of a failed test stays.
    """
    if not hasattr(config, "workerinput"):
        with suppress(OSError):  # failed tests, or other sessions
            (Path(gettempdir()) / f"pytest-of-{getuser()}").rmdir()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Awaits from a plain fixture, on a thread of its own, so that it also works while a test's
    event loop exists.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def engines_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("engines")
    yield folder
    shutil.rmtree(
        folder, ignore_errors=True
    )  # pytest would keep gigabytes of the last three sessions


def _running(engine: Engine, folder: Path) -> Iterator[RunningEngine]:
    running = RunningEngine(engine, folder / f"{engine.role}.log")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def kafka_engine(engines_folder: Path) -> Iterator[RunningEngine]:
    """The session's broker as a process. No test kills it: late in a session it takes minutes to
    read again what all the tests before have left there.
    """
    yield from _running(
        Kafka(engines_folder / "kafka", free_port(), free_port(), OPEN), engines_folder
    )


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[RunningEngine]:
    """A broker of one test, which may kill it."""
    yield from _running(Kafka(tmp_path / "kafka", free_port(), free_port(), OPEN), tmp_path)


@pytest.fixture(scope="session")
def postgres_engine(engines_folder: Path) -> Iterator[RunningEngine]:
    # Without fsync a test's database is made in a tenth of the time; what a killed process has
    # written survives all the same.
    unsafe = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "shared_buffers": "128MB",
    }
    yield from _running(
        Postgres(engines_folder / "postgres", free_port(), OPEN, unsafe), engines_folder
    )


@pytest.fixture(scope="session")
def nats_engine(engines_folder: Path) -> Iterator[RunningEngine]:
    yield from _running(Nats(engines_folder / "nats", free_port(), OPEN), engines_folder)


@pytest.fixture(scope="session")
def kafka(kafka_engine: RunningEngine) -> str:
    """host:port of a real broker."""
    return kafka_engine.address


@pytest.fixture(scope="session")
def postgres(postgres_engine: RunningEngine) -> str:
    """DSN of the administrator of a real PostgreSQL."""
    return postgres_engine.address


@pytest.fixture(scope="session")
def nats(nats_engine: RunningEngine) -> str:
    """URL of a real NATS server with JetStream."""
    return nats_engine.address


async def execute(dsn: str, *statements: str) -> None:
    connection = await connect_client(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def named(dsn: str, database: str) -> str:
    """The DSN of another database of the server."""
    return dsn.rpartition("/")[0] + "/" + database


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> str:
    """The name of a database with the newest schema, migrated once per session."""
    from tables.database.migrate import (
        upgrade,
    )  # Alembic is slow to import, and most tests need no database

    run(execute(postgres, f"CREATE DATABASE {_TEMPLATE}"))
    upgrade(named(postgres, _TEMPLATE))
    return _TEMPLATE


@contextmanager
def copied(postgres: str, template: str) -> Iterator[str]:
    """DSN of a fresh copy of a database, which is dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    run(execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield named(postgres, name)
    run(execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(postgres: str, migrated_template: str) -> Iterator[str]:
    """DSN of a fresh, migrated database."""
    with copied(postgres, migrated_template) as dsn:
        yield dsn


@pytest.fixture
def settings(kafka: str, nats: str, database: str) -> Iterator[Settings]:
    """Settings of an installation of its own: fresh prefix, database and keys, 4 partitions, topics
    created.
    """
    made = Settings(
        kafka=kafka,
        postgres=database,
        nats=nats,
        topic_prefix=f"t{secrets.token_hex(4)}-",
        partitions=4,
        message_keys=(SecretStr(secrets.token_hex(32)),),
    )
    run(topics.create(made))
    yield made
    run(topics.delete(made))
