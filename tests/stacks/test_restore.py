"""Restoring PostgreSQL or Kafka: every process refuses to run, `campaigns reconcile` mends it, and
afterwards nobody has got a message twice and every campaign shows its own counts.
"""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.local.engines.engine import free_port
from connectors.setup.prepare import prepare
from streams.settings import Settings
from tests.conftest import run
from tests.e2e import world
from tests.e2e.checker import assert_each_recipient_once, sent_messages
from tests.e2e.processes import SHORTENED
from tests.eventually import eventually
from tests.stacks.restored import (
    WHEN_POSTGRESQL_WENT,
    Backup,
    Operator,
    Running,
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
    dry = operator.reconcile(code=1)
    assert operator.reconcile(code=1) == dry  # nothing was changed
    assert not dry["fits"] and not dry["repaired"]
    assert [(each["campaignId"], each["remedy"], each["sent"]) for each in dry["campaigns"]] == [
        (draft, "cancelled", PEOPLE)
    ]
    assert dry["nextNumber"] > taken
    killed = operator.campaigns("reconcile", "--repair", crash="reconcile:mended:1")
    assert killed.returncode == -signal.SIGKILL
    operator.reconcile("--repair")
    assert operator.reconcile()["fits"]
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
