"""The local stack gives no other user of the machine anything, and its own processes no more than
they need: also a home that an earlier version made, where everybody was let in.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from connectors.local.engines.engine import OPEN, Account, Engine, RunningEngine
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_probe import names_a_broker
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from connectors.local.stack.credentials import read
from connectors.local.stack.home import Home
from tests.stacks.intruder import intrusions
from tests.stacks.local_stack import Stack, made

_KEYS = "CAMPAIGNS_MESSAGE_KEYS=" + "5a" * 32


@pytest.fixture(scope="module")
def older() -> Iterator[tuple[Stack, str]]:
    """A running stack whose home an earlier version made, and the key of a tenant from then."""
    with made() as stack:
        key = _make_as_before(stack)
        stack.campaigns("up", "--detach", "--no-demo")
        yield stack, key


@pytest.fixture
def stack(older: tuple[Stack, str]) -> Stack:
    return older[0]


def _make_as_before(stack: Stack) -> str:
    """What version 0.1.0 leaves in a home: files for everybody, one secret, and engines without
    passwords, in which the superuser owns everything. Returns the key of a tenant.
    """
    home = stack.at()
    home.folder.mkdir(0o755)
    home.secrets_file.touch(0o600)
    home.secrets_file.write_text(f"{_KEYS}\n")
    base = home.port_base
    engines: list[Engine] = [
        Kafka(home.folder / "kafka", base + 2, base + 3, OPEN),
        Postgres(home.folder / "postgres", base + 4, OPEN),
        Nats(home.folder / "nats", base + 5, OPEN),
    ]
    running = [RunningEngine(it, home.logs / f"{it.role}.log") for it in engines]
    try:
        for engine in running:
            engine.start()
        # the command line of this version with a stack of that one
        stack.campaigns("prepare")
        printed = stack.campaigns("tenant", "create", "bakery")
    finally:
        for engine in running:
            engine.stop()
    for path in home.folder.rglob("*"):
        if path.parts[len(home.folder.parts)] != "postgres":  # it would refuse to start
            path.chmod(0o755 if path.is_dir() else 0o644)
    home.folder.chmod(0o755)
    found = re.search(r"ce_live_\w+", printed)
    assert found is not None
    return found[0]


def test_an_older_home_goes_on_with_all_it_has(older: tuple[Stack, str]) -> None:
    stack, key = older
    assert _KEYS in stack.at().secrets_file.read_text().splitlines()
    answer = httpx.get(
        f"{stack.at().api_url}/api/v1/campaigns", headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 200
    with psycopg.connect(stack.at().addresses()["postgres"]) as connection:
        others = connection.execute(
            " UNION ALL ".join(
                f"SELECT {name}::text FROM {catalogue} WHERE {prefix}owner <> 'campaigns'::regrole"
                f" AND {prefix}namespace = 'public'::regnamespace"
                for catalogue, prefix, name in (
                    ("pg_class", "rel", "relname"),
                    ("pg_proc", "pro", "proname"),
                    ("pg_type", "typ", "typname"),
                )
            )
        ).fetchall()
    assert others == []
    stack.campaigns("doctor")


def test_another_user_of_the_machine_gets_nothing(stack: Stack) -> None:
    assert intrusions(stack) == []


def test_every_file_is_its_owners_alone(stack: Stack) -> None:
    files = stack.files()
    assert len(files) > 100
    loose = {str(it): oct(found.st_mode) for it, found in files.items() if found.st_mode & 0o077}
    assert loose == {}


def test_secrets_stand_in_the_files_that_need_them_and_in_no_log(stack: Stack) -> None:
    secrets = read(stack.at().secrets_file).values.values()
    may = {"secrets.env", "kafka/server.properties", "nats/nats.conf"}
    found = set()
    for path in filter(Path.is_file, stack.files()):
        name = str(path.relative_to(stack.home))
        if not name.startswith(("kafka/data/", "postgres/base/", "nats/jetstream/")):
            with suppress(FileNotFoundError):
                if any(secret.encode() in path.read_bytes() for secret in secrets):
                    found.add(name)
    assert found == may


def test_the_users_of_clients_are_not_let_in_at_the_controller(stack: Stack) -> None:
    values, base = read(stack.at().secrets_file).values, stack.at().port_base
    client = Account("campaigns", values["KAFKA_PASSWORD"])
    broker = Account("broker", values["KAFKA_BROKER_PASSWORD"])
    assert names_a_broker(base + 2, client)
    assert names_a_broker(base + 2, broker)
    assert not names_a_broker(base + 2, Account("campaigns", broker.password))
    assert not names_a_broker(base + 2, OPEN)
    assert not names_a_broker(base + 3, client)


def test_no_engine_has_a_socket_in_a_folder_or_beyond_this_machine(stack: Stack) -> None:
    base = stack.at().port_base
    with socket.socket() as probe:
        probe.settimeout(2)
        for port in range(base, base + 6):
            assert probe.connect_ex(("127.0.0.2", port)) != 0
    listening = Path("/proc/net/unix").read_text()
    assert str(stack.home) not in listening
    assert f".s.PGSQL.{base + 4}" not in listening


_REFUSED = (
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "CREATE TEMP TABLE o (line text); COPY o FROM PROGRAM 'id -u'",
    "CREATE TEMP TABLE p (line text); COPY p FROM '/etc/hostname'",
    "COPY (SELECT 1) TO '/tmp/campaigns-was-here'",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT * FROM pg_stat_file('PG_VERSION')",
    "SELECT * FROM pg_ls_logdir()",
    "SELECT pg_current_logfile()",
    "SELECT lo_import('/etc/hostname')",
    "SELECT lo_export(lo_from_bytea(0, 'x'), '/tmp/campaigns-was-here')",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER ROLE campaigns SUPERUSER",
    "ALTER ROLE campaigns CREATEROLE",
    "ALTER ROLE postgres PASSWORD 'mine'",
    "GRANT pg_execute_server_program TO campaigns",
    "CREATE ROLE another",
    "CREATE DATABASE another",
    "ALTER SYSTEM SET log_statement = 'all'",
    "LOAD 'dblink'",
    "SET session_preload_libraries = 'auto_explain'",
    "CREATE FUNCTION run(text) RETURNS int AS 'libc.so.6', 'system' LANGUAGE c",
    "CREATE FUNCTION run(text) RETURNS int AS 'system' LANGUAGE internal",
    "CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION pg_notify()",
    "CREATE TABLESPACE elsewhere LOCATION '/tmp'",
    "CREATE SUBSCRIPTION all_of_it CONNECTION 'host=127.0.0.1' PUBLICATION p",
    "SELECT pg_create_physical_replication_slot('copy')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IS NULL",
    "CREATE EXTENSION file_fdw",
    "CREATE EXTENSION plpython3u",
)


@pytest.mark.parametrize("statement", _REFUSED)
def test_the_products_own_role_gets_nothing_but_its_database(stack: Stack, statement: str) -> None:
    with psycopg.connect(stack.at().addresses()["postgres"], autocommit=True) as connection:
        (is_super,) = connection.execute("SHOW is_superuser").fetchone() or ("?",)
        assert is_super == "off"
        with pytest.raises(psycopg.Error):
            connection.execute(statement)
    assert not Path("/tmp/campaigns-was-here").exists()


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_the_products_own_role_can_use_no_other_database(stack: Stack, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(stack.at().addresses()["postgres"], dbname=database)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_to_take_a_folder_of_their_own(stack: Stack) -> None:
    program = (
        "import os\n"
        "from connectors.local.stack.home import Home\n"
        "from connectors.local.stack.home_folder import HomeError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n    Home.from_environment()\n"
        "except HomeError as error:\n    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.strip() == (
        f"{stack.home} belongs to another user: set CAMPAIGNS_HOME to a folder of your own"
    ), ran.stderr


def test_a_home_of_an_earlier_version_is_used_as_it_is_until_up_changes_it(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text(f"{_KEYS}\n")
    home = Home(tmp_path, 21_000, {})
    before = home.environment()
    assert before["CAMPAIGNS_POSTGRES"] == "postgresql://postgres@127.0.0.1:21004/campaigns"
    assert "CAMPAIGNS_KAFKA_PASSWORD" not in before
    home.make_secrets()
    after = home.environment()
    assert after["CAMPAIGNS_KAFKA_SECURITY"] == "SASL_PLAINTEXT"
    assert after["CAMPAIGNS_MESSAGE_KEYS"] == before["CAMPAIGNS_MESSAGE_KEYS"]
    home.make_secrets()
    assert home.environment() == after
