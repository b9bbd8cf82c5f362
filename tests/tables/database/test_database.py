"""What a database that is away, busy or in a deadlock means, and that work is repeated until it is
done.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from connectors.local.engines.engine import RunningEngine
from streams import metrics
from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database.connection import Database, Session
from tables.database.driver import DriverConnection
from tests.eventually import eventually
from tests.postgres import connect as connect_client
from tests.postgres import sql


async def test_jsonb_is_python_and_times_are_utc(pool: Database) -> None:
    value = {"a": [1, 2.5, None, True], "ä": {"nested": "x"}}
    row = await sql(pool).fetchrow(
        "SELECT $1::jsonb AS value, now() AS at, current_setting('statement_timeout') AS timeout",
        value,
    )
    assert row is not None
    assert row["value"] == value
    assert row["at"].utcoffset().total_seconds() == 0
    assert row["timeout"] == "30s"


async def test_work_waits_for_a_database_that_is_killed_and_is_done_once_it_is_back(
    sql_settings: Settings, postgres_engine: RunningEngine, caplog: pytest.LogCaptureFixture
) -> None:
    database, gauge = Database(sql_settings, "test"), metrics.DEPENDENCY_DOWN.labels("postgres")

    async def add(session: Session) -> int:
        await sql(session).execute(
            "INSERT INTO tenants (id) VALUES ('acme') ON CONFLICT DO NOTHING"
        )
        return int(await sql(session).fetchval("SELECT count(*) FROM tenants"))

    assert await database.until_up(lambda session: sql(session).fetchval("SELECT 1")) == 1
    postgres_engine.kill()
    try:
        waiting = asyncio.create_task(database.until_up(add))
        await eventually(lambda: gauge._value.get() == 1)
    finally:
        postgres_engine.start()  # not on a thread: the engine ends with the thread that started it
    assert await asyncio.wait_for(waiting, 300) == 1
    assert gauge._value.get() == 0
    assert [record.message for record in caplog.records if "answer" in record.message].count(
        "PostgreSQL answers again"
    ) <= 1
    assert sum("does not answer" in record.message for record in caplog.records) == 1
    await database.close()


async def test_a_deadlock_is_resolved_by_trying_again(pool: Database) -> None:
    await sql(pool).execute("INSERT INTO tenants (id) VALUES ('a'), ('b')")
    both = asyncio.Barrier(2)
    attempts = 0

    async def lock(session: Session, first: str, second: str) -> str:
        nonlocal attempts
        attempts += 1
        await sql(session).execute("UPDATE tenants SET hourly_limit = 1 WHERE id = $1", first)
        if attempts <= 2:
            await both.wait()
        await sql(session).execute("UPDATE tenants SET hourly_limit = 1 WHERE id = $1", second)
        return first

    done = await asyncio.gather(
        pool.until_up(lambda session: lock(session, "a", "b")),
        pool.until_up(lambda session: lock(session, "b", "a")),
    )
    assert list(done) == ["a", "b"]
    assert attempts == 3


async def test_work_that_is_always_too_slow_is_given_up_after_three_attempts(
    sql_settings: Settings,
) -> None:
    database, gauge = (
        Database(sql_settings, "test", statement_timeout=timedelta(milliseconds=50)),
        metrics.DEPENDENCY_DOWN.labels("postgres"),
    )
    attempts = 0

    async def sleep(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        await sql(session).execute("SELECT pg_sleep(5)")

    with pytest.raises(psycopg.errors.QueryCanceled):
        await database.until_up(sleep)
    assert (attempts, gauge._value.get()) == (3, 0)
    await database.close()


async def test_a_statement_of_sqlalchemy_that_is_always_too_slow_ends_as_the_drivers_error(
    sql_settings: Settings,
) -> None:
    hasty = timedelta(milliseconds=50)
    async with Database(sql_settings, "test", statement_timeout=hasty) as database:
        with pytest.raises(psycopg.errors.QueryCanceled):
            await database.until_up(lambda session: session.execute(text("SELECT pg_sleep(5)")))


async def test_work_that_is_too_slow_twice_is_done_at_the_third_attempt(
    sql_settings: Settings,
) -> None:
    database = Database(sql_settings, "test", statement_timeout=timedelta(seconds=1))
    seconds = iter((60, 60, 0))
    assert (
        await database.until_up(
            lambda session: sql(session).fetchval("SELECT 7 FROM pg_sleep($1)", next(seconds))
        )
        == 7
    )
    await database.close()


async def test_a_slow_statement_is_a_dependency_that_is_down_and_a_mistake_is_not(
    sql_settings: Settings,
) -> None:
    hasty = timedelta(seconds=1)
    async with Database(sql_settings, "test", statement_timeout=hasty) as database:
        with pytest.raises(DependencyDownError):
            await database.once(lambda session: session.execute(text("SELECT pg_sleep(60)")))
        with pytest.raises(psycopg.errors.UndefinedColumn):
            await database.once(lambda session: session.execute(text("SELECT nonsense")))


async def test_a_full_disk_is_a_dependency_that_is_down_and_named(pool: Database) -> None:
    full = text("DO $$ BEGIN RAISE 'No space left' USING ERRCODE = 'disk_full'; END $$")
    with pytest.raises(DependencyDownError, match="PostgreSQL has no room left"):
        await pool.once(lambda session: session.execute(full))


async def test_a_connection_that_is_lost_or_refused_is_a_dependency_that_is_down(
    sql_settings: Settings, pool: Database
) -> None:
    lost = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(DependencyDownError):
        await pool.once(lambda session: session.execute(lost))
    nowhere = Database("postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(DependencyDownError):
        await nowhere.once(lambda session: session.execute(text("SELECT 1")))


async def test_connections_that_the_server_closed_while_idle_are_replaced_unseen(
    sql_settings: Settings, pool: Database
) -> None:
    one = text("SELECT count(*) FROM (SELECT pg_sleep(0.05)) AS slept")
    await asyncio.gather(*(pool.once(lambda session: session.scalar(one)) for _ in range(5)))
    client = await connect_client(sql_settings.postgres)
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await client.execute(f"SELECT pg_terminate_backend(pid) {others}")

    async def are_gone() -> bool:
        return bool(await client.fetchval(f"SELECT count(*) = 0 {others}"))

    await eventually(are_gone)
    await client.close()
    assert [await pool.once(lambda session: session.scalar(one)) for _ in range(5)] == [1] * 5


async def test_a_server_that_goes_as_soon_as_it_lets_in_is_a_dependency_that_is_down(
    sql_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, opened = await connect_client(sql_settings.postgres), list[DriverConnection]()
    original, is_going = DriverConnection.open, False

    async def end(connection: DriverConnection) -> None:
        pid = connection.info.backend_pid
        assert await client.fetchval("SELECT pg_terminate_backend($1::int, 60000)", pid)

    async def going(*args: Any, **options: Any) -> DriverConnection:
        opened.append(await original(*args, **options))
        if is_going:
            await end(opened[-1])
        return opened[-1]

    monkeypatch.setattr(DriverConnection, "open", going)
    async with Database(sql_settings, "test") as database:
        await database.once(lambda session: session.execute(text("SELECT 1")))
        is_going = True
        await end(opened[0])
        for _ in range(3):
            with pytest.raises(DependencyDownError):
                await database.once(lambda session: session.execute(text("SELECT 1")))
    await client.close()
