"""A migration does not stand in front of everybody while somebody holds a table."""

from __future__ import annotations

import asyncio
import logging
import secrets

import pytest

from streams.errors import DependencyDownError
from tables.database import migrate
from tables.database.connection import Database
from tables.database.migrations import revisions
from tests.eventually import eventually
from tests.postgres import connect as connect_client


async def test_a_migration_lets_readers_go_first_and_begins_again(
    postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"held_{secrets.token_hex(4)}"
    admin = await connect_client(postgres)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = postgres.rpartition("/")[0] + "/" + name
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", "SET LOCAL lock_timeout = '100ms'")
    monkeypatch.setattr(migrate, "_PAUSE", 0.2)
    await asyncio.to_thread(migrate.upgrade, dsn, "0011")
    reader, other = await connect_client(dsn), await connect_client(dsn)
    await reader.execute("BEGIN")
    await reader.execute("SELECT * FROM campaign_triggers")  # which 0012 drops
    with caplog.at_level(logging.WARNING):
        migrating = asyncio.create_task(asyncio.to_thread(migrate.upgrade, dsn))
        await eventually(lambda: "a table is in use" in caplog.text, within=300)
        # whoever reads meanwhile waits a moment at most
        assert await other.fetchval("SELECT count(*) FROM campaign_triggers") == 0
        async with Database(dsn) as database:
            assert await database.once(migrate.current) == "0011"  # all of it or nothing
        await reader.execute("COMMIT")
        await asyncio.wait_for(migrating, 300)
    async with Database(dsn) as database:
        assert await database.once(migrate.current) == revisions.newest()
    for client in (reader, other):
        await client.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_a_table_that_is_held_for_ever_ends_the_migration_with_an_error(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"held_{secrets.token_hex(4)}"
    admin = await connect_client(postgres)
    await admin.execute(f"CREATE DATABASE {name}")
    dsn = postgres.rpartition("/")[0] + "/" + name
    for field, value in {
        "_LOCK_TIMEOUT": "SET LOCAL lock_timeout = '50ms'",
        "_PAUSE": 0.05,
        "_ATTEMPTS": 3,
    }.items():
        monkeypatch.setattr(migrate, field, value)
    await asyncio.to_thread(migrate.upgrade, dsn, "0011")
    reader = await connect_client(dsn)
    await reader.execute("BEGIN")
    await reader.execute("SELECT * FROM campaign_triggers")
    with pytest.raises(DependencyDownError):
        await asyncio.to_thread(migrate.upgrade, dsn)
    await reader.close()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
