"""The application over HTTP: `rest` needs PostgreSQL only, `live` Kafka, too.

It has the rights of the API's role, and sees the rows of the tenant that calls; the tests around it
have those of the administrator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from pydantic import SecretStr

from streams.settings import Settings
from tests.api.recipients.hooks import Hooks, make_hooks
from tests.api.world import Rest, resting
from tests.conftest import copied, execute, named, run
from tests.eventually import eventually
from tests.tables.installation.as_roles import Roles

_PREFIX = "campaigns"


@pytest.fixture(scope="session")
def template_with_roles(postgres: str, migrated_template: str) -> str:
    """The name of a migrated database with the product's roles and policies."""
    name = f"{migrated_template}_with_roles"
    run(execute(postgres, f"CREATE DATABASE {name} TEMPLATE {migrated_template}"))
    run(Roles(named(postgres, name), _PREFIX).apply())
    return name


@pytest.fixture
def database(postgres: str, template_with_roles: str) -> Iterator[str]:
    """The administrator's DSN of a fresh database in which the roles have their rights."""
    with copied(postgres, template_with_roles) as dsn:
        yield dsn


def _as_the_api(settings: Settings) -> Settings:
    role = Roles(settings.postgres, _PREFIX).of("api")
    return settings.model_copy(update={"postgres": role})


@pytest.fixture
async def rest(database: str) -> AsyncIterator[Rest]:
    """Kafka is away: what does not depend on it must work, and the rest must say so."""
    keys = (SecretStr("00" * 32),)
    settings = Settings(
        kafka="127.0.0.1:1", nats="nats://127.0.0.1:1", postgres=database, message_keys=keys
    )
    async with resting(_as_the_api(settings), settings) as rest:
        yield rest


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[Rest]:
    """With the live counts read."""
    async with resting(_as_the_api(settings), settings) as rest:
        await eventually(
            lambda: rest.services.stats.ready.is_set() and rest.services.sending.ready.is_set(),
            300,
        )
        yield rest


@pytest.fixture
async def hooks(live: Rest) -> AsyncIterator[Hooks]:
    """Every provider is set up; Kafka takes events."""
    await eventually(lambda: live.services.reports.is_ready, 300)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(live.app), base_url="http://internal"
    ) as provider:
        yield await make_hooks(live, provider)


@pytest.fixture
async def quiet_hooks(rest: Rest) -> AsyncIterator[Hooks]:
    """Every provider is set up; Kafka is away."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(rest.app), base_url="http://internal"
    ) as provider:
        yield await make_hooks(rest, provider)
