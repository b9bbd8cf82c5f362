"""A template service that is slow, or answers badly, for one tenant: the scheduled campaigns of
others start at once, and its own say why they wait and are given up in time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response

from agents.jobs.scheduler import start_due
from streams.settings import Settings
from tables.database.connection import Database
from tests.agents.jobs.contexts import contexts
from tests.connectors.sources.directory_server import DirectoryServer
from tests.eventually import eventually
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

SLOW = 15.0  # seconds, more than a command's ten


@dataclass
class PerTenant(DirectoryServer):
    """Slow, or broken, for the tenants in `slow` and `broken`."""

    slow: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()

    async def _answer(self, request: Request, right: dict[str, Any] | None) -> Response:
        tenant = request.query_params.get("tenantId")
        if tenant in self.broken:
            self.answers.insert(0, b"{}")
        elif tenant in self.slow:
            self.answers.insert(0, SLOW)
        return await super()._answer(request, right)


@pytest.fixture
def here(database: str) -> Settings:
    return Settings(
        kafka="127.0.0.1:1",
        nats="nats://127.0.0.1:1",
        postgres=database,
        message_keys=(SecretStr("00" * 32),),
    )


async def _due(world: World, server: DirectoryServer, count: int, **settings: Any) -> list[UUID]:
    """So many campaigns that are due now, whose template is the service's."""
    await sql(world.pool).execute(
        "UPDATE templates SET is_mirrored = true WHERE id = $1", world.template
    )
    server.templates[str(world.template)] = {
        "id": str(world.template),
        "name": "t",
        "channel": "email",
        "content": {"subject": "s", "text": "t"},
    }
    made = [await world.created(settings=settings) for _ in range(count)]
    await sql(world.pool).execute(
        "UPDATE campaigns SET status = 'scheduled', scheduled_at = now() WHERE id = ANY($1)", made
    )
    return made


async def _status(world: World, ids: list[UUID]) -> list[tuple[str, bool]]:
    rows = await sql(world.pool).fetch(
        "SELECT status::text, is_directory_down FROM campaigns WHERE id = ANY($1)", ids
    )
    return [tuple(row) for row in rows]


async def test_a_slow_service_of_one_tenant_delays_no_campaign_of_another(here: Settings) -> None:
    pool = Database(here)
    slow, quick = await make_world(pool, here, "slow"), await make_world(pool, here, "quick")
    server = PerTenant(slow=frozenset({"slow"}))
    mine, theirs = await _due(slow, server, 3), await _due(quick, server, 3)
    settings = here.model_copy(update={"templates_url": server.url})
    async with server.up(), contexts(settings) as make:

        async def run() -> bool:
            started = time.monotonic()
            await start_due(make(None))
            took = time.monotonic() - started
            assert took < SLOW, took
            return all(status == "running" for status, _ in await _status(quick, theirs))

        await eventually(run)
        assert await _status(slow, mine) == [("scheduled", True)] * 3
        later = await _due(quick, server, 1)  # due while the slow one is still being asked
        theirs = later
        await eventually(run)
        assert await _status(slow, mine) == [("scheduled", True)] * 3
        server.slow = frozenset()

        async def all_started() -> bool:
            await start_due(make(None))
            return all(status == "running" for status, _ in await _status(slow, mine))

        await eventually(all_started, within=120)
        assert await _status(slow, mine) == [("running", False)] * 3
    await pool.close()


async def test_a_service_that_answers_badly_delays_a_campaign_until_it_is_too_late(
    here: Settings,
) -> None:
    pool = Database(here)
    world = await make_world(pool, here)
    server = PerTenant(broken=frozenset({"acme"}))
    [campaign] = await _due(world, server, 1, maxLateness="PT1H")
    settings = here.model_copy(update={"templates_url": server.url})
    async with server.up(), contexts(settings) as make:

        async def delayed() -> bool:
            return (await start_due(make(None)))["delayed"] == 1

        await eventually(delayed, within=60)
        await eventually(delayed, within=60)
        assert await _status(world, [campaign]) == [("scheduled", True)]
        late = make(None).at + timedelta(hours=1, seconds=1)
        assert (await start_due(make(late)))["missed"] == 1
        assert [status for status, _ in await _status(world, [campaign])] == ["cancelled"]
    await pool.close()
