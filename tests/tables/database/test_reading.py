"""Reading without a transaction finds what a unit of work finds, and leaves the pool as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import bindparam, select, update

from streams.errors import DependencyDownError, NotFoundError
from streams.settings import Settings
from tables.campaigns.campaign import get_campaign
from tables.database.connection import Database
from tables.models import Campaign, Tenant
from tests.tables.campaigns.campaign_world import World

_TENANT = select(Tenant).where(Tenant.id == bindparam("id"))


@pytest.fixture
async def single(sql_settings: Settings, world: World) -> AsyncIterator[Database]:
    """A pool of one connection: what one reader leaves behind, the next one meets."""
    async with Database(sql_settings, "test", max_size=1) as database:
        yield database


async def test_a_row_is_read_as_a_unit_of_work_reads_it(single: Database, world: World) -> None:
    campaign = await world.created(description="50 % off")
    async with single.transaction() as session:
        wanted = await get_campaign(session, "acme", campaign)
    async with single.reading() as reading:
        found = await get_campaign(reading, "acme", campaign)
        assert await reading.every(_TENANT, {"id": "acme"}) == [
            await reading.first(_TENANT, {"id": "acme"})
        ]
        assert await reading.first(_TENANT, {"id": "nobody"}) is None
    assert found == wanted
    columns = [column.key for column in Campaign.__table__.columns]
    assert [type(getattr(found, key)) for key in columns] == [
        type(getattr(wanted, key)) for key in columns
    ]


async def test_each_statement_sees_what_was_committed_before_it(
    single: Database, pool: Database
) -> None:
    async with single.reading() as reading:
        assert (await reading.rows(Tenant, "SELECT * FROM tenants"))[0].hourly_limit is None
        async with pool.transaction() as session:
            await session.execute(update(Tenant).values(hourly_limit=5))
        assert (await reading.rows(Tenant, "SELECT * FROM tenants"))[0].hourly_limit == 5


async def test_the_connection_is_as_good_as_before_after_a_refusal_and_after_a_mistake(
    single: Database,
) -> None:
    async with single.reading() as reading:
        server = await reading.value("SELECT pg_backend_pid()")
    with pytest.raises(NotFoundError):
        async with single.reading():
            raise NotFoundError("no")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        async with single.reading() as reading:
            await reading.value("SELECT nonsense")
    with pytest.raises(NotFoundError):
        async with single.transaction() as session:
            await session.execute(update(Tenant).values(hourly_limit=7))
            raise NotFoundError("rolled back")
    async with single.reading() as reading:
        assert await reading.value("SELECT max(hourly_limit) FROM tenants") is None
        assert await reading.value("SELECT pg_backend_pid()") == server


async def test_a_reader_that_is_cut_off_leaves_its_place_to_the_next_one(single: Database) -> None:
    async def sleep() -> None:
        async with single.reading() as reading:
            await reading.value("SELECT pg_sleep(600)")

    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await sleep()
        async with single.reading() as reading:
            assert await reading.value("SELECT 1") == 1


async def test_a_lost_server_and_a_full_pool_are_a_dependency_that_is_down(
    single: Database,
) -> None:
    with pytest.raises(DependencyDownError):
        async with single.reading() as reading:
            await reading.value("SELECT pg_terminate_backend(pg_backend_pid())")
    async with single.reading() as reading:
        assert await reading.value("SELECT 1") == 1
        with pytest.raises(DependencyDownError, match=r"no free connection within 0\.1 s"):
            async with single.reading(timedelta(seconds=0.1)):
                raise AssertionError
