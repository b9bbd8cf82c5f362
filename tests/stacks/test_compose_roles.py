"""The commands of docker-compose.yml with their own files and variables, on a PostgreSQL that asks
for passwords: `prepare` makes the roles, and no other process is the administrator. What is left to
Docker is to put the files where they are named.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.postgres import Postgres
from connectors.local.stack.roles import ROLES
from connectors.setup import topics
from streams.settings import Settings
from tests.conftest import run
from tests.e2e.processes import Supervised
from tests.eventually import eventually, eventually_sync
from tests.postgres import connect as connect_client

_COMPOSE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docker-compose.yml").read_text()
)
_CAMPAIGNS = str(Path(sys.executable).with_name("campaigns"))
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^${}]*))?\}")
_ASKS = 'host all all 127.0.0.1/32 scram-sha-256\nhost all "nobody" 127.0.0.1/32 reject\n'


def _with_values(text: str, variables: Mapping[str, str]) -> str:
    """The text as compose reads it; the innermost variables first."""
    while found := _VARIABLE.search(text):
        value = variables.get(found[1], "")
        if not value and found[2] == "-":
            value = found[3]
        assert value or found[2] == "-", f"{found[1]} has no value"
        text = text[: found.start()] + value + text[found.end() :]
    return text


@dataclass
class Composed:
    """The services that are ours, as processes of this machine."""

    folder: Path
    servers: Mapping[str, str]  # host:port of the services -> of this machine
    more: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)  # those of .env

    def words(self, name: str) -> list[str]:
        return [self._placed(name, word) for word in _COMPOSE["services"][name]["command"]]

    def environment(self, name: str) -> dict[str, str]:
        """Writes the files of the service, too."""
        service = _COMPOSE["services"][name]
        for it in service["configs"]:
            content = _COMPOSE["configs"][it["source"]]["content"]
            file = Path(self._placed(name, it["target"]))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._placed(name, _with_values(content, self.variables)))
        given = {
            variable: self._placed(name, _with_values(value, self.variables))
            for variable, value in service["environment"].items()
        }
        return {**os.environ, **given, **self.more}

    def run(self, name: str, *words: str) -> str:
        """`docker compose run NAME words`; returns what it prints."""
        ended = subprocess.run(
            [_CAMPAIGNS, *(words or self.words(name))],
            env=self.environment(name),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def _placed(self, name: str, text: str) -> str:
        """With the files and the servers of this machine."""
        for inside, here in self.servers.items():
            text = text.replace(inside, here)
        return re.sub("^(/run/campaigns|/tmp)/", f"{self.folder / name}/", text)


@pytest.fixture
def postgres_with_passwords(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """host:port of a server as the image makes it, and the administrator's password."""
    password, engine = secrets.token_hex(16), Postgres(tmp_path / "postgres", free_port(), OPEN)
    running = RunningEngine(engine, tmp_path / "postgres.log")
    running.start()
    try:
        run(_ask_everybody(running.address, tmp_path / "postgres", password))
        yield f"127.0.0.1:{engine.port}", password
    finally:
        running.stop()


async def _ask_everybody(dsn: str, folder: Path, password: str) -> None:
    client = await connect_client(dsn)
    await client.execute(f"ALTER ROLE postgres PASSWORD '{password}'")
    await client.execute("CREATE DATABASE campaigns")
    (folder / "pg_hba.conf").write_text(_ASKS)
    await client.execute("SELECT pg_reload_conf()")
    await client.close()


@pytest.fixture
def composed(
    postgres_with_passwords: tuple[str, str], kafka: str, nats: str, tmp_path: Path
) -> Iterator[Composed]:
    server, password = postgres_with_passwords
    settings = Settings(
        kafka=kafka,
        postgres="",
        nats=nats,
        topic_prefix=f"t{secrets.token_hex(4)}-",
        message_keys=(SecretStr(secrets.token_hex(32)),),
    )
    yield Composed(
        tmp_path / "services",
        {
            "postgres:5432": server,
            "kafka:9092": kafka,
            "nats://nats:4222": nats,
            "0.0.0.0": "127.0.0.1",
        },
        {"CAMPAIGNS_TOPIC_PREFIX": settings.topic_prefix, "CAMPAIGNS_API_PORT": str(free_port())},
        {
            "POSTGRES_PASSWORD": password,
            "POSTGRES_API_PASSWORD": secrets.token_hex(16),
            "POSTGRES_WORKERS_PASSWORD": secrets.token_hex(16),
            "CAMPAIGNS_MESSAGE_KEYS": settings.message_keys[0].get_secret_value(),
            "CAMPAIGNS_PARTITIONS": "2",
        },
    )
    run(topics.delete(settings))


@pytest.mark.timeout(600)
async def test_the_processes_of_compose_work_and_none_of_them_is_the_administrator(
    composed: Composed,
) -> None:
    composed.run("prepare")
    key = composed.run("prepare", "tenant", "create", "acme").split()[-1]
    composed.run("prepare")  # as every `docker compose up` does
    started = {}
    for name in ROLES:
        log = composed.folder / f"{name}.log"
        command = [_CAMPAIGNS, *composed.words(name)]
        started[name] = Supervised(command, log, composed.environment(name))
    try:
        await _look(composed, started, key)
    finally:
        for process in started.values():
            process.stop()


async def _look(composed: Composed, started: Mapping[str, Supervised], key: str) -> None:
    port = composed.more["CAMPAIGNS_API_PORT"]
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}")

    async def is_ready() -> bool:
        try:
            return (await client.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async with client:
        await eventually(is_ready, 300)
        eventually_sync(lambda: all(_is_ready(composed, name) for name in ROLES), 300)
        bearer = {"Authorization": f"Bearer {key}"}
        made = await client.post("/api/v1/contacts", json={"email": "a@b.example"}, headers=bearer)
        assert made.status_code == 201, made.text
    dsn = (composed.folder / "prepare" / "postgres").read_text()
    admin = await connect_client(dsn)
    rows = await admin.fetch(
        "SELECT DISTINCT usename::text, application_name LIKE '%-api' FROM pg_stat_activity"
        " WHERE datname = 'campaigns' AND pid <> pg_backend_pid()"
        "   AND backend_type = 'client backend'"
    )
    roles = {row[0] for row in rows}
    assert roles == {"campaigns-api", "campaigns-workers"}
    assert {row[0] for row in rows if row[1]} == {"campaigns-api"}
    assert not await admin.fetchval(
        "SELECT bool_or(rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls) FROM pg_roles"
        " WHERE rolname LIKE 'campaigns-%'"
    )
    await admin.close()
    for name, process in started.items():
        said = (composed.folder / f"{name}.log").read_text()
        assert process.restarts == 0 and "permission denied" not in said, (name, said[-800:])


def _is_ready(composed: Composed, name: str) -> bool:
    file = composed.folder / name / "ready.json"
    return name == "api" or (file.exists() and '"ready": true' in file.read_text())


def test_what_prepare_cannot_use_is_said_before_anything_is_done(
    composed: Composed, tmp_path: Path
) -> None:
    unusable = tmp_path / "no-dsn"
    for content in ("", "not a dsn s3cret"):
        unusable.write_text(content)
        command = [_CAMPAIGNS, "prepare", "--role-of", str(unusable)]
        ended = subprocess.run(
            command,
            env=composed.environment("prepare"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1 and str(unusable) in ended.stderr
        assert "s3cret" not in ended.stderr and "Traceback" not in ended.stderr
