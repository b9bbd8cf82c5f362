"""Restoring PostgreSQL or Kafka: every process refuses to run, `campaigns reconcile` mends it, and
afterwards nobody has got a message twice and every campaign shows its own counts.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from connectors.local.engines.engine import free_port
from connectors.setup import topics
from connectors.setup.prepare import prepare
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.conftest import run
from tests.e2e import world
from tests.e2e.checker import assert_each_recipient_once, committed, sent_messages
from tests.e2e.processes import SHORTENED
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.stacks.restored import (
    WHEN_KAFKA_WENT,
    WHEN_POSTGRESQL_WENT,
    Backup,
    Operator,
    Running,
    closed_api,
    is_ready,
    running_engine,
)

PEOPLE = 40
SENDER = {"fromName": "Acme", "fromEmail": "news@acme.example", "trackOpens": True}


@pytest.fixture
def operator(settings: Settings, tmp_path: Path) -> Operator:
    """Of an installation that is prepared; its hour is six seconds."""
    shortened = {**SHORTENED, "api_port": free_port(), "tick": timedelta(milliseconds=50)}
    made = settings.model_copy(update=shortened)
    run(prepare(made))
    return Operator(made, _folder(tmp_path, "operator"))


@pytest.fixture
def backup(operator: Operator) -> Backup:
    return Backup(operator.settings, operator.folder / "campaigns.dump")


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


class Acme:
    """One tenant and its people, who stay while servers go back."""

    def __init__(self, tenant: world.Tenant, template: Any) -> None:
        self.tenant, self.template = tenant, template
        self.everybody = tenant.people["all"]

    @classmethod
    async def make(cls, dsn: str, **limits: int) -> Acme:
        connection = await world.connect(dsn)
        tenant = await world.tenant(connection, "acme", **limits)
        await world.people(connection, tenant, "all", PEOPLE)
        template = await world.template(connection, tenant)
        await connection.close()
        return cls(tenant, template)

    def rest(self, running: Running) -> world.Rest:
        return world.Rest(running.url, self.tenant.key)

    async def send(self, running: Running) -> str:
        """A campaign to everybody, which is completed and shows what is its own."""
        rest = self.rest(running)
        campaign = await self.start(rest)

        async def is_counted() -> bool:
            assert (await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed"
            stats = await rest("GET", f"/campaigns/{campaign}/stats")
            return bool(stats["sentCount"] == stats["totalRecipients"] == PEOPLE)

        await eventually(is_counted)
        await rest.close()
        return campaign

    async def start(self, rest: world.Rest) -> str:
        return await rest.started(self.template, [self.tenant.segments["all"]], settings=SENDER)


async def _number(settings: Settings, campaign: str) -> int:
    connection = await world.connect(settings.postgres)
    number: int = await connection.fetchval(
        "SELECT number FROM campaigns WHERE id = $1::uuid", campaign
    )
    await connection.close()
    return number


async def _audit(settings: Settings) -> list[str]:
    connection = await world.connect(settings.postgres)
    rows = await connection.fetch(
        "SELECT reason FROM audit_log WHERE action = 'campaign.reconciled'"
    )
    await connection.close()
    return [row["reason"] for row in rows]


@pytest.mark.timeout(1200)
async def test_a_postgresql_from_a_backup_is_refused_and_mended(
    operator: Operator, backup: Backup, tmp_path: Path
) -> None:
    settings = operator.settings
    acme = await Acme.make(settings.postgres)
    with running_engine(settings, _folder(tmp_path, "before")) as running:
        rest = acme.rest(running)
        before = await acme.send(running)
        draft = (await rest("POST", "/campaigns", _body(acme, "Later")))["id"]
        backup.take()
        await rest("POST", f"/campaigns/{draft}/start")
        lost = await acme.send(running)
        await eventually(lambda: _is_completed(rest, draft))
        await rest.close()
    taken = await _number(settings, lost)
    backup.restore()

    for command in WHEN_POSTGRESQL_WENT:
        assert "PostgreSQL has lost what Kafka has already published" in operator.is_refused(
            *command
        )
    link = next(_unsubscribe_links(settings, before))
    with closed_api(settings, _folder(tmp_path, "closed")) as closed:
        for method in ("GET", "POST"):
            page = closed.page(method, link)
            assert (page.status_code, page.headers["retry-after"]) == (503, "60")
        dry = operator.reconcile(code=1)
        assert operator.reconcile(code=1) == dry  # nothing was changed
        assert not dry["fits"] and not dry["repaired"]
        found = [(each["campaignId"], each["remedy"], each["sent"]) for each in dry["campaigns"]]
        assert found == [(draft, "cancelled", PEOPLE)]
        assert dry["nextNumber"] > taken
        killed = operator.campaigns("reconcile", "--repair", crash="reconcile:mended:1")
        assert killed.returncode == -signal.SIGKILL
        operator.reconcile("--repair")
        assert operator.reconcile()["fits"]
        await eventually(lambda: asyncio.to_thread(is_ready, closed.url))  # by itself
        assert "<form" in closed.page("GET", link).text
    assert await _audit(settings) == [
        f"cancelled: postgresql-restored: it had been started, {PEOPLE} messages are sent"
    ]

    with running_engine(settings, _folder(tmp_path, "after")) as running:
        after = await acme.send(running)
        rest = acme.rest(running)
        shown = await rest("GET", f"/campaigns/{draft}")
        assert shown["status"] == "cancelled"
        assert shown["statusReason"].startswith("postgresql-restored: it had been started")
        await rest.close()
    assert await _number(settings, after) == dry["nextNumber"]
    everybody = dict.fromkeys((before, draft, lost, after), acme.everybody)
    assert_each_recipient_once(sent_messages(settings), everybody)


def _unsubscribe_links(settings: Settings, campaign: str) -> Iterator[str]:
    """The paths of the links to which a mail program sends its one click."""
    for record in committed(settings, Name.MESSAGES):
        message = json.loads(record.value())
        if message["campaignId"] == campaign:
            yield urlsplit(message["headers"]["List-Unsubscribe"].strip("<>")).path


def _body(acme: Acme, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "channel": "email",
        "templateId": str(acme.template),
        "segmentIds": [str(acme.tenant.segments["all"])],
        "settings": SENDER,
    }


async def _is_completed(rest: world.Rest, campaign: str) -> bool:
    return bool((await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed")


@pytest.mark.timeout(1200)
async def test_a_kafka_that_lost_its_topics_is_refused_and_mended(
    operator: Operator, tmp_path: Path
) -> None:
    settings = operator.settings
    acme = await Acme.make(settings.postgres, hourly=PEOPLE // 4)
    with running_engine(settings, _folder(tmp_path, "before")) as running:
        rest = acme.rest(running)
        half = await acme.start(rest)

        async def has_begun() -> bool:
            return bool((await rest("GET", f"/campaigns/{half}/stats"))["sentCount"])

        await eventually(has_begun)
        await rest("POST", f"/campaigns/{half}/pause")
        await rest.close()
        await eventually(lambda: _is_relayed(settings))
    await topics.delete(settings)
    await eventually(lambda: _are_gone(settings))

    assert "topics are missing" in operator.campaigns("reconcile").stderr
    for command in WHEN_KAFKA_WENT:
        assert "Kafka has no record of this installation any more" in operator.is_refused(*command)
    dry = operator.reconcile(code=1)
    assert [(each["campaignId"], each["remedy"]) for each in dry["campaigns"]] == [
        (half, "cancelled")
    ]
    for point in ("mended", "renewed"):
        killed = operator.campaigns("reconcile", "--repair", crash=f"reconcile:{point}:1")
        assert killed.returncode == -signal.SIGKILL
        operator.is_refused("worker", "emit")
        operator.reconcile(code=1)
    operator.reconcile("--repair")
    assert operator.reconcile()["fits"]
    assert await _audit(settings) == [
        "cancelled: kafka-restored: Kafka was restored, and what has been sent is not known any"
        " more"
    ]

    with running_engine(settings, _folder(tmp_path, "after")) as running:
        after = await acme.send(running)
        rest = acme.rest(running)
        shown = await rest("GET", f"/campaigns/{half}")
        assert shown["status"] == "cancelled"
        await rest.close()
    assert_each_recipient_once(sent_messages(settings), {after: acme.everybody})


async def _is_relayed(settings: Settings) -> bool:
    connection = await world.connect(settings.postgres)
    left: int = await connection.fetchval("SELECT count(*) FROM outbox")
    await connection.close()
    return not left


async def _are_gone(settings: Settings) -> bool:
    missing = [each for each in await topics.differences(settings) if "does not exist" in each]
    return len(missing) == len(Name)


@pytest.mark.timeout(1200)
async def test_a_lane_whose_state_was_made_again_is_refused_and_sends_nothing_twice(
    operator: Operator, tmp_path: Path
) -> None:
    settings = operator.settings
    acme = await Acme.make(settings.postgres)
    with running_engine(settings, _folder(tmp_path, "before")) as running:
        before = await acme.send(running)
    lost = Topics(settings).name(Name.EMIT_STATE)
    raw_kafka.delete_topic(settings.kafka, lost)
    await eventually(lambda: topics.create(settings))
    said = operator.is_refused("worker", "emit")
    assert f"{lost} (partitions [0, 1, 2, 3]) has lost its records" in said
    assert f"Kafka has lost what was in {lost}" in operator.is_refused("prepare")
    assert operator.reconcile(code=1)["damagedTopics"] == [lost]

    def is_killed() -> bool:
        killed = operator.campaigns("reconcile", "--repair", crash="reconcile:mended:1")
        return killed.returncode == -signal.SIGKILL

    await eventually(is_killed)  # a worker that was refused counts as one at work for a session
    operator.is_refused("worker", "emit")
    await eventually(lambda: operator.reconcile("--repair"))
    with running_engine(settings, _folder(tmp_path, "after")) as running:
        after = await acme.send(running)
    everybody = dict.fromkeys((before, after), acme.everybody)
    assert_each_recipient_once(sent_messages(settings), everybody)


@pytest.mark.timeout(600)
async def test_a_running_installation_ends_when_its_postgresql_goes_back(
    operator: Operator, backup: Backup, tmp_path: Path
) -> None:
    settings = operator.settings
    acme = await Acme.make(settings.postgres)
    with running_engine(settings, _folder(tmp_path, "lost")) as running:
        backup.take()
        await acme.send(running)
        backup.restore()

        def has_ended(role: str) -> bool:
            log = (running.folder / f"{role}.log").read_text()
            return "PostgreSQL has lost what Kafka has already published" in log

        await eventually(lambda: all(map(has_ended, ("control", "emit", "api"))))
    assert {message.campaign_id for message in sent_messages(settings)} != set()
    await asyncio.to_thread(operator.reconcile, "--repair")
