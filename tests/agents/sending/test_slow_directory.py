"""A directory service that is slow for one tenant costs another nothing: neither its commands nor
its campaigns wait.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from streams.settings import Settings
from streams.topics import Name, Topics
from tables.database.connection import Database
from tests.agents.processes.control_workers import process, produce
from tests.agents.sending.test_commands import command, create, results
from tests.connectors.sources.directory_server import DirectoryServer
from tests.eventually import eventually
from tests.tables.campaigns.campaign_world import World, make_world

SLOW = 20.0  # seconds, more than a command waits


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    pool = Database(settings)
    yield await make_world(pool, settings)
    await pool.close()


def _neighbour(settings: Settings) -> str:
    """A tenant of the same partition as acme."""
    topics = Topics(settings)
    names = (f"tenant-{number}" for number in range(1_000))
    return next(name for name in names if topics.partition(name) == topics.partition("acme"))


async def test_commands_of_another_tenant_are_answered_while_a_service_sleeps(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    """Of the same partition; 8 commands of 10 s each kept them for 50 s."""
    other = await make_world(world.pool, settings, _neighbour(settings))
    server = DirectoryServer(answers=[SLOW] * 100)
    slowed = settings.model_copy(update={"templates_url": server.url})
    pending = [
        command("create", create(world, templateId=str(uuid4())), f"slow-{number}")
        for number in range(8)
    ]
    quick = [
        command("create", {**create(other), "templateId": None}, f"quick-{number}", other.tenant)
        for number in range(8)
    ]
    async with server.up(), process(slowed, "commands", tmp_path):
        produce(settings, Name.COMMANDS, pending[:1])
        await eventually(lambda: bool(server.calls), within=300)
        began = time.monotonic()
        produce(settings, Name.COMMANDS, pending[1:] + quick)
        first = await results(settings, 8)
        took = time.monotonic() - began
        everything = await results(settings, 16)
        server.answers.clear()
    by_tenant = [record.value["tenantId"] for record in first[:8]]
    assert by_tenant == [other.tenant] * 8, took
    assert [record.value["correlationId"] for record in everything[8:]] == [
        f"slow-{number}" for number in range(8)
    ]
    errors = [record.value["data"]["error"] for record in everything[8:]]
    assert {error["status"] for error in errors} == {503}
    assert len({record.headers["id"] for record in everything}) == 16
