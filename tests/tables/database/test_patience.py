"""How long a caller's statement waits for a lock, and how long a list may take; how soon a server,
or a client, that falls silent is noticed.
"""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from psycopg.rows import tuple_row
from sqlalchemy import insert, select

from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database.connection import Database
from tables.database.driver import DriverConnection, looking
from tables.database.statements import LONGEST_LIST
from tables.models import Tenant
from tests.postgres import sql
from tests.silence import AT_MOST, seconds_until_noticed


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


async def test_a_server_that_falls_silent_is_noticed_within_ten_seconds(
    sql_settings: Settings,
) -> None:
    """By the kernel; tests/faults/cut_off.py cuts some."""
    dsn = sql_settings.postgres
    connection = await DriverConnection.open(dsn, application_name="test")
    with looking(dsn, tuple_row) as look:
        for each in (connection.fileno(), look.fileno()):
            with socket.fromfd(each, socket.AF_INET, socket.SOCK_STREAM) as wire:
                assert seconds_until_noticed(wire) <= AT_MOST
    await connection.close()


async def test_the_server_notices_a_client_that_falls_silent(pool: Database) -> None:
    """Its locks would be kept for as long."""
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
    async with pool.transaction() as session:
        idle, interval, count, unacknowledged = [
            int(await session.value(f"SELECT setting FROM pg_settings WHERE name = '{name}'"))
            for name in (*names, "tcp_user_timeout")
        ]
    assert idle + interval * count <= AT_MOST
    assert 0 < unacknowledged <= AT_MOST * 1000


async def test_the_dsn_has_the_last_word(sql_settings: Settings) -> None:
    joined = "&" if "?" in sql_settings.postgres else "?"
    dsn = f"{sql_settings.postgres}{joined}tcp_user_timeout=3000&keepalives_idle=60"
    connection = await DriverConnection.open(dsn, application_name="test")
    with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as wire:
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    await connection.close()
