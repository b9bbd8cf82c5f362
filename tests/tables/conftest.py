"""A pool on a fresh database, and a tenant in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from streams.settings import Settings
from tables.database.connection import Database, Session
from tables.tenants.tenants import create_tenant
from tests.agents.jobs.contexts import contexts
from tests.tables.campaigns.campaign_world import World, make_world
from tests.tables.campaigns.series_world import Make


@pytest.fixture
def sql_settings(database: str) -> Settings:
    """For tests that need no Kafka and no NATS."""
    keys = (SecretStr("00" * 32), SecretStr("01" * 32))
    return Settings(
        kafka="nowhere:1", nats="nats://nowhere:1", postgres=database, message_keys=keys
    )


@pytest.fixture
async def pool(sql_settings: Settings) -> AsyncIterator[Database]:
    pool = Database(sql_settings, max_size=24)
    yield pool
    await pool.close()


@pytest.fixture
async def session(pool: Database) -> AsyncIterator[Session]:
    """A unit of work in which the tenants acme and other exist."""
    async with pool.transaction() as session:
        for tenant in ("acme", "other"):
            await create_tenant(session, tenant)
        yield session


@pytest.fixture
async def make(sql_settings: Settings) -> AsyncIterator[Make]:
    """Makes the desks that jobs work at."""
    async with contexts(sql_settings) as make:
        yield make


@pytest.fixture
async def world(pool: Database, sql_settings: Settings) -> World:
    return await make_world(pool, sql_settings)
