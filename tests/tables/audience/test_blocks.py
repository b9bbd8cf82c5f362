"""Blocks of the ledger are made, and go, while others read and write it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from streams.contracts.commands import Verb
from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.audience import blocks
from tables.database.connection import Database
from tables.database.driver import DriverConnection
from tests.postgres import Client
from tests.postgres import connect as connect_client
from tests.tables.campaigns.campaign_world import make_world

NOW = datetime(2026, 6, 1, tzinfo=UTC)
READ = "SELECT id FROM campaign_recipients LIMIT 1"
DUMP = "LOCK TABLE campaign_recipients, campaigns IN ACCESS SHARE MODE"  # as pg_dump does
WRITE = "UPDATE campaign_recipients SET status = 'sent'"
START = "UPDATE campaigns SET version = version + 1"


@asynccontextmanager
async def open_transactions(dsn: str, *statements: str) -> AsyncIterator[None]:
    """Somebody has carried each of them out and does not commit."""
    async with AsyncExitStack() as stack:
        for statement in statements:
            client = await connect_client(dsn)
            stack.push_async_callback(client.close)
            await client.execute("BEGIN")
            await client.execute(statement)
        yield


async def _campaign(client: Client, number: int, **columns: object) -> None:
    """A campaign of this number with one recipient."""
    await client.execute("INSERT INTO tenants (id) VALUES ('acme') ON CONFLICT DO NOTHING")
    await client.execute("SELECT ensure_recipient_partitions($1)", number)
    await client.execute(
        "INSERT INTO campaigns (number, tenant_id, name, channel, created_by, status, updated_at)"
        " OVERRIDING SYSTEM VALUE"
        " VALUES ($1, 'acme', 'Sale', 'email', uuidv7(), $2::campaign_status, $3)",
        *(number, columns.get("status", "completed"), columns.get("updated_at", NOW)),
    )
    await client.execute(
        "INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id)"
        " SELECT recipient_id(number, 0), 'acme', id, uuidv7() FROM campaigns WHERE number = $1",
        number,
    )


async def _blocks(client: Client) -> set[int]:
    rows = await client.fetch(
        "SELECT substr(inhrelid::regclass::text, 21)::int AS block FROM pg_inherits"
        " WHERE inhparent = 'campaign_recipients'::regclass"
    )
    return {row["block"] for row in rows}


@pytest.mark.parametrize(
    "others", [(READ,), (DUMP,), (WRITE,), (READ, DUMP, WRITE)], ids=lambda it: str(len(it))
)
async def test_a_block_waits_behind_no_reader_and_no_writer_of_the_ledger(
    database: str, others: tuple[str, ...]
) -> None:
    client = await connect_client(database)
    await _campaign(client, 1)
    async with Database(database) as pool, open_transactions(database, *others):
        started = time.monotonic()
        assert [await pool.once(blocks.make_ahead) for _ in range(3)] == [2, 3, 4]
        assert time.monotonic() - started < 30
        # and while it was being made nobody had to wait for it
        assert await client.fetchval("SELECT count(*) FROM campaign_recipients") == 1
    assert await _blocks(client) == {0, 1, 2, 3, 4}
    await client.close()


async def test_a_campaign_that_is_being_changed_puts_a_block_off_and_nothing_else(
    database: str,
) -> None:
    """The key to `campaigns` is copied to the block, which locks that table against writers; so
    blocks are made 20 ahead, and the attempt gives up soon.
    """
    client = await connect_client(database)
    await _campaign(client, 1)
    async with Database(database) as pool:
        async with open_transactions(database, START):
            with pytest.raises(DependencyDownError):
                await pool.once(blocks.make_ahead)
        await client.execute(START)
        assert await pool.once(blocks.make_ahead) == 2
    await client.close()


async def test_blocks_are_made_for_the_numbers_to_come_also_after_a_restore(database: str) -> None:
    client = await connect_client(database)
    async with Database(database) as pool:
        assert [await pool.once(lambda it: blocks.make_ahead(it, 3)) for _ in range(3)] == [
            2,
            3,
            None,
        ]
        await client.execute("SELECT setval(pg_get_serial_sequence('campaigns', 'number'), 71999)")
        made = [await pool.once(lambda it: blocks.make_ahead(it, 3)) for _ in range(5)]
    assert made == [71, 72, 73, 74, None]
    await _campaign(client, 72_000)
    await client.close()


async def test_only_a_block_whose_campaigns_have_all_ended_long_ago_goes(database: str) -> None:
    client = await connect_client(database)
    old, fresh = NOW - timedelta(days=400), NOW - timedelta(days=3)
    rows: dict[int, dict[str, object]] = {
        1: {"updated_at": fresh},
        2: {"updated_at": old},
        1001: {"updated_at": old, "status": "paused"},
        2001: {"updated_at": old, "status": "draft"},
        3001: {"updated_at": old},
        3999: {"updated_at": old, "status": "cancelled"},
        4000: {"updated_at": old},
        5000: {"updated_at": old},
    }
    for number, columns in rows.items():
        await _campaign(client, number, **columns)
    before = NOW - timedelta(days=365)
    async with Database(database) as pool:
        gone = []
        while old_block := await pool.once(lambda it: blocks.oldest_over(it, before)):
            connection = await DriverConnection.open(
                database, application_name="test", autocommit=True
            )
            await blocks.drop(connection, old_block)
            await connection.close()
            gone.append(old_block.name)
    assert gone == ["campaign_recipients_3", "campaign_recipients_4"]  # 5 is the newest
    numbers = await client.fetch(
        "SELECT DISTINCT left(id::text, 13) AS id FROM campaign_recipients"
    )
    assert {int(row["id"].replace("-", ""), 16) for row in numbers} == {1, 2, 1001, 2001, 5000}
    await client.close()


async def test_a_block_that_was_being_dropped_when_the_process_died_is_dropped_later(
    database: str,
) -> None:
    client = await connect_client(database)
    old = NOW - timedelta(days=400)
    for number in (1, 1001, 2001):
        await _campaign(client, number, updated_at=old)
    # killed after it was detached
    await client.execute("ALTER TABLE campaign_recipients DETACH PARTITION campaign_recipients_0")
    async with Database(database) as pool:
        # killed while a reader kept it from being detached
        async with open_transactions(database, READ):
            connection = await DriverConnection.open(
                database,
                application_name="test",
                autocommit=True,
                statement_timeout=timedelta(seconds=1),
            )
            second = blocks.OldBlock("campaign_recipients_1", is_attached=True, is_leaving=False)
            with pytest.raises(psycopg.errors.QueryCanceled):
                await blocks.drop(connection, second)
            await connection.close()
        found = []
        while old_block := await pool.once(lambda it: blocks.oldest_over(it, NOW)):
            connection = await DriverConnection.open(
                database, application_name="test", autocommit=True
            )
            await blocks.drop(connection, old_block)
            await connection.close()
            found.append((old_block.name[-1], old_block.is_attached, old_block.is_leaving))
    assert found == [("0", False, False), ("1", True, True)]
    assert await client.fetchval("SELECT count(*) FROM campaign_recipients") == 1
    await client.close()


async def test_a_campaign_whose_block_is_missing_starts_at_once_beside_an_open_backup(
    database: str,
) -> None:
    settings = Settings.model_validate(
        {"kafka": "", "nats": "", "postgres": database, "message_keys": "00" * 32}
    )
    async with Database(database) as pool:
        world = await make_world(pool, settings)
        client = await connect_client(database)
        await client.execute("SELECT setval(pg_get_serial_sequence('campaigns', 'number'), 41999)")
        created = await world.created()
        async with open_transactions(database, READ, DUMP, WRITE):
            started = await world.do(Verb.START, created)
            assert (started["status"], await _blocks(client) >= {42, 43}) == ("running", True)
        await client.close()
