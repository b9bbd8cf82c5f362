"""How long a caller's statement waits for a lock, and how long a list may take."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database.connection import LONGEST_LIST, Database
from tables.models import Tenant
from tests.postgres import sql


async def test_a_row_that_another_keeps_is_a_refusal_that_says_so(
    pool: Database, sql_settings: Settings
) -> None:
    impatient = Database(sql_settings, "test", lock_timeout=timedelta(milliseconds=50))
    lock = "SELECT FROM tenants WHERE id = 'acme' FOR UPDATE"
    async with pool.transaction() as session:
        await session.execute(insert(Tenant).values(id="acme"))
    async with impatient, pool.transaction() as keeper:
        await sql(keeper).execute(lock)
        with pytest.raises(DependencyDownError, match="Another request is changing the same thing"):
            async with impatient.transaction() as session:
                await sql(session).execute(lock)


async def test_only_lists_have_a_time_of_their_own(pool: Database) -> None:
    show = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
    async with pool.transaction() as session:
        assert await session.value(show) == 30_000
        assert await session.page(select(Tenant), 10, 0) == ([], 0)
        assert await session.value(show) == LONGEST_LIST * 1_000
    async with pool.transaction() as session:
        assert await session.value(show) == 30_000


async def test_a_list_that_takes_too_long_says_so(pool: Database) -> None:
    with pytest.raises(DependencyDownError, match="took too long"):
        async with pool.transaction() as session:
            await session.script("SET LOCAL statement_timeout = 50")
            await session.run("SELECT pg_sleep(60)")
