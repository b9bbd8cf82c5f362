"""The application in this process with a tenant, its keys of every role, and a stranger; and the
API as a process of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI

from api.app import create_app
from api.http.dependencies import Services
from connectors.local.engines.engine import free_port
from streams.settings import Settings
from tables.database.connection import Database
from tables.tenants.api_keys import ROLES, create_key
from tests.dns_server import DnsServer, dns_server
from tests.environment import environment
from tests.eventually import eventually
from tests.tables.campaigns.campaign_world import World, make_world

JSON = {"Content-Type": "application/json"}


@dataclass
class Rest:
    """`of[role]` is a client of the tenant acme with a key of that role, `stranger` an admin of
    another tenant, `nobody` has no key. `names` is the name server that the application asks.
    """

    app: FastAPI
    world: World
    names: DnsServer
    of: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def admin(self) -> httpx.AsyncClient:
        return self.of["admin"]

    @property
    def stranger(self) -> httpx.AsyncClient:
        return self.of["stranger"]

    @property
    def nobody(self) -> httpx.AsyncClient:
        return self.of["nobody"]

    @property
    def services(self) -> Services:
        """What the application holds open."""
        return cast("Services", self.app.state.services)

    def use(self, **others: Any) -> None:
        """Serve with these services in place of the application's own."""
        self.app.state.services = replace(self.services, **others)

    async def draft(self, **more: Any) -> dict[str, Any]:
        """A campaign just created."""
        answer = await self.admin.post("/campaigns", json=self.world.draft(**more))
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["data"])

    async def running(self, **more: Any) -> dict[str, Any]:
        campaign = await self.draft(**more)
        answer = await self.admin.post(f"/campaigns/{campaign['id']}/start")
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["data"])


@asynccontextmanager
async def resting(settings: Settings, around: Settings | None = None) -> AsyncIterator[Rest]:
    """The real application on these settings, with its lifespan; what is `around` it, if anything
    else, makes tenants and looks at tables. A bug raises in the test instead of becoming a 500.
    """
    async with AsyncExitStack() as stack:
        pool: Database = Database(around or settings, max_size=4)
        stack.push_async_callback(pool.close)
        names = await stack.enter_async_context(dns_server())
        here = {"dns_servers": names.address, "routes": "any"}
        settings = settings.model_copy(update=here)
        app = create_app(settings)
        await stack.enter_async_context(app.router.lifespan_context(app))
        rest = Rest(app, await make_world(pool, around or settings), names)
        stranger = await make_world(pool, around or settings, "globex")
        async with pool.transaction() as connection:
            rest.keys = {
                role: (await create_key(connection, "acme", role=role)).text for role in ROLES
            }
            rest.keys["stranger"] = (await create_key(connection, stranger.tenant)).text
        for name, key in {**rest.keys, "nobody": ""}.items():
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(
                transport=transport, base_url="http://api/api/v1", headers=headers
            )
            rest.of[name] = await stack.enter_async_context(client)
        yield rest


@asynccontextmanager
async def serving(
    settings: Settings, log: Path, module: str = "api.server", **more: str
) -> AsyncIterator[str]:
    """The URL of `python -m api.server`, or of another module, as a process of its own, once it is
    ready; its log goes to `log`.
    """
    port = free_port()
    variables = environment(settings, CAMPAIGNS_API_PORT=str(port), **more)
    with log.open("wb") as sink:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=variables, stdout=sink, stderr=sink
        )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client:
            await eventually(lambda: _is_ready(client, url), 300)
        yield url
    finally:
        with suppress(ProcessLookupError):  # a test has killed it
            server.terminate()
        await server.wait()


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/readyz")).is_success
    except httpx.TransportError:
        return False
