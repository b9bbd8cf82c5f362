"""The application over HTTP: `rest` needs PostgreSQL only, `live` Kafka, too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from streams.settings import Settings
from tests.api.recipients.hooks import Hooks, make_hooks
from tests.api.world import Rest, resting
from tests.eventually import eventually


@pytest.fixture
async def rest(database: str) -> AsyncIterator[Rest]:
    """Kafka is away: what does not depend on it must work, and the rest must say so."""
    keys = (SecretStr("00" * 32),)
    async with resting(
        Settings(
            kafka="127.0.0.1:1", nats="nats://127.0.0.1:1", postgres=database, message_keys=keys
        )
    ) as rest:
        yield rest


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[Rest]:
    """With the live counts read."""
    async with resting(settings) as rest:
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
