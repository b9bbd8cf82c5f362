"""The whole pipeline on servers that let in only clients with TLS and credentials, and what its
processes say when those are wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from connectors.local.stack import status
from connectors.local.stack.home import Home
from streams.settings import Settings
from tests.certificates import Authority
from tests.connectors.nats.secured import operator
from tests.e2e import world
from tests.e2e.checker import assert_each_recipient_once, published_on_nats, sent_messages
from tests.e2e.conftest import Running
from tests.eventually import eventually
from tests.stacks.secured import PASSWORD, Servers, secured

_CAMPAIGNS = str(Path(sys.executable).with_name("campaigns"))
_PROCESSES = (
    *(("worker", role) for role in ("control", "expand", "emit", "stats", "deliver")),
    ("bridge",),
    ("api",),
    ("simulate",),
    ("prepare",),
    ("topics",),
    ("job", "campaign-stats-refresh"),
    ("doctor",),
)
_COMMANDS = ("prepare", "topics", "doctor", "tenant")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with secured(tmp_path_factory.mktemp("secured")) as running:
        yield running


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> Settings:
    """An installation that `campaigns prepare` has made."""
    made = servers.settings()
    prepared = _campaigns(made.environment(), tmp_path, "prepare")
    assert prepared.returncode == 0, prepared.stderr
    return made


def _campaigns(
    settings: Mapping[str, str], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """The command line with these settings and none of the caller's."""
    own = {name: it for name, it in os.environ.items() if not name.startswith("CAMPAIGNS_")}
    return subprocess.run(
        [_CAMPAIGNS, *arguments],
        env={**own, "CAMPAIGNS_HOME": str(folder / "home"), **settings},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.timeout(600)
async def test_a_campaign_is_sent_over_tls_alone(running: Running) -> None:
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    await world.people(connection, acme, "all", 500)
    rest = world.Rest(running.url, acme.key)
    template = await world.template(connection, acme)
    sender = {"fromName": "Acme", "fromEmail": "news@acme.example", "trackOpens": True}
    campaign = await rest.started(template, [acme.segments["all"]], settings=sender)

    async def is_counted() -> bool:
        assert (await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed"
        stats = await rest("GET", f"/campaigns/{campaign}/stats")
        assert stats["sentCount"] == 500
        assert stats["deliveredCount"] > 400  # the simulator has read and reported
        return True

    await eventually(is_counted, within=300)
    assert_each_recipient_once(sent_messages(running.settings), {campaign: acme.people["all"]})
    published = await published_on_nats(running.settings)
    assert len(published["campaign.completed"]) == 1
    assert len(published["campaign.message.sent"]) == 500
    assert all(each.restarts == 0 for each in running.processes.processes.values())
    await rest.close()
    await connection.close()


def _said(command: tuple[str, ...], wrong: Mapping[str, str], folder: Path) -> str:
    """What a process writes that does not start for want of Kafka or NATS."""
    home = Home.from_environment({"CAMPAIGNS_HOME": str(folder / "home"), **wrong})
    home.make()
    lock = status.claim(home)  # doctor asks Kafka while a stack runs
    assert lock is not None
    with lock:
        ended = _campaigns(wrong, folder, *command)
    assert ended.returncode == (1 if command[0] in _COMMANDS else 70)
    said = (ended.stdout + ended.stderr).replace('\\"', '"')  # JSON lines quote quotes
    assert "Traceback" not in said
    assert "wr0ng" not in said
    return said


@pytest.mark.parametrize("command", _PROCESSES, ids=" ".join)
def test_a_wrong_password_is_one_sentence_of_every_process(
    command: tuple[str, ...], servers: Servers, tmp_path: Path
) -> None:
    wrong = servers.settings().environment() | {"CAMPAIGNS_KAFKA_PASSWORD": "wr0ng"}
    assert (
        f"Kafka at {servers.kafka} refuses CAMPAIGNS_KAFKA_USER=campaigns with its "
        "CAMPAIGNS_KAFKA_PASSWORD (SCRAM-SHA-512): Authentication failed"
    ) in _said(command, wrong, tmp_path)


@pytest.mark.parametrize("command", [("worker", "emit"), ("api",), ("topics",), ("doctor",)])
def test_an_unknown_authority_is_one_sentence(
    command: tuple[str, ...], servers: Servers, tmp_path: Path
) -> None:
    foreign = str(Authority(tmp_path / "foreign").file)
    wrong = servers.settings().environment() | {"CAMPAIGNS_KAFKA_CA_FILE": foreign}
    sentence = f"the certificate of Kafka at {servers.kafka} is not trusted: "
    assert sentence in _said(command, wrong, tmp_path)


@pytest.mark.parametrize("command", [("bridge",), ("doctor",)])
def test_what_keeps_a_process_from_nats_is_one_sentence(
    command: tuple[str, ...], servers: Servers, tmp_path: Path
) -> None:
    well = servers.settings().environment()
    missing = str(tmp_path / "missing")
    assert f"CAMPAIGNS_NATS_CREDENTIALS_FILE: {missing} cannot be read" in _said(
        command, well | {"CAMPAIGNS_NATS_CREDENTIALS_FILE": missing}, tmp_path
    )
    _, foreign = operator(tmp_path)
    assert "NATS refuses the identity in CAMPAIGNS_NATS_CREDENTIALS_FILE" in _said(
        command, well | {"CAMPAIGNS_NATS_CREDENTIALS_FILE": str(foreign)}, tmp_path
    )
    unknown = str(Authority(tmp_path / "unknown").file)
    assert "The certificate of NATS is not accepted: " in _said(
        command, well | {"CAMPAIGNS_NATS_CA_FILE": unknown}, tmp_path
    )


@pytest.mark.parametrize("command", [("bridge",), ("api",), ("prepare",), ("topics",)])
def test_a_contradiction_is_one_sentence(
    command: tuple[str, ...], servers: Servers, tmp_path: Path
) -> None:
    wrong = servers.settings().environment() | {"CAMPAIGNS_KAFKA_USER": ""}
    home = Home.from_environment({"CAMPAIGNS_HOME": str(tmp_path / "home")})
    home.make()
    lock = status.claim(home)
    assert lock is not None
    with lock:
        ended = _campaigns(wrong, tmp_path, *command)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert ended.stderr.removeprefix("campaigns: ") == (
        "CAMPAIGNS_KAFKA_SECURITY=SASL_SSL with CAMPAIGNS_KAFKA_MECHANISM=SCRAM-SHA-512 needs "
        "CAMPAIGNS_KAFKA_USER\n"
    )


@pytest.mark.parametrize(
    "command",
    [("worker", "emit"), ("api",), ("prepare",), ("tenant", "create", "acme"), ("doctor",)],
    ids=" ".join,
)
def test_a_wrong_password_of_postgresql_is_one_sentence(
    command: tuple[str, ...], servers: Servers, tmp_path: Path
) -> None:
    wrong = servers.settings().environment()
    wrong["CAMPAIGNS_POSTGRES"] = wrong["CAMPAIGNS_POSTGRES"].replace(PASSWORD, "wr0ng")
    sentence = 'password authentication failed for user "postgres"'
    assert sentence in _said(command, wrong, tmp_path)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("sslmode=verify-full&sslrootcert=FOREIGN", "certificate verify failed"),
        ("sslmode=disable", "no pg_hba.conf entry"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", 'certificate file "/nowhere/ca.pem"'),
    ],
)
def test_tls_that_postgresql_or_we_refuse_is_one_sentence(
    parameters: str, sentence: str, servers: Servers, tmp_path: Path
) -> None:
    wrong, foreign = servers.settings().environment(), str(Authority(tmp_path / "foreign").file)
    dsn = wrong["CAMPAIGNS_POSTGRES"].partition("?")[0]
    wrong["CAMPAIGNS_POSTGRES"] = f"{dsn}?{parameters.replace('FOREIGN', foreign)}"
    assert sentence in _said(("worker", "control"), wrong, tmp_path)
