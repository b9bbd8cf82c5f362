"""The migrated database has every table, column, type, default and index of the specification."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from streams.errors import DependencyDownError
from tables.database import migrate
from tables.database.connection import Database
from tables.database.migrations import revisions
from tests.postgres import Client
from tests.postgres import connect as connect_client

# Specification, section 3: column -> (type, nullable, default); an unnamed default is None.
_CAMPAIGNS = {
    "id": ("uuid", False, "uuidv7()"),
    "tenant_id": ("character varying(64)", False, None),
    "name": ("character varying(255)", False, None),
    "description": ("text", True, None),
    "channel": ("campaign_channel", False, None),
    "status": ("campaign_status", False, "'draft'::campaign_status"),
    "type": ("campaign_type", False, "'one_time'::campaign_type"),
    "template_id": ("uuid", True, None),
    "segment_ids": ("uuid[]", False, "'{}'::uuid[]"),
    "exclude_segment_ids": ("uuid[]", False, "'{}'::uuid[]"),
    "scheduled_at": ("timestamp with time zone", True, None),
    "timezone": ("character varying(50)", True, "'UTC'::character varying"),
    "recurring_schedule": ("jsonb", True, None),
    "settings": ("jsonb", False, "'{}'::jsonb"),
    "ab_test_config": ("jsonb", True, None),
    "throttle_config": ("jsonb", True, None),
    "started_at": ("timestamp with time zone", True, None),
    "completed_at": ("timestamp with time zone", True, None),
    "created_by": ("uuid", False, None),
    "created_at": ("timestamp with time zone", False, "now()"),
    "updated_at": ("timestamp with time zone", False, "now()"),
    "deleted_at": ("timestamp with time zone", True, None),
}
_RECIPIENTS = {
    "id": ("uuid", False, None),
    "tenant_id": ("character varying(64)", False, None),
    "campaign_id": ("uuid", False, None),
    "contact_id": ("uuid", False, None),
    "variant_id": ("character varying(50)", True, None),
    "status": ("recipient_status", False, "'pending'::recipient_status"),
    "sent_at": ("timestamp with time zone", True, None),
    "delivered_at": ("timestamp with time zone", True, None),
    "opened_at": ("timestamp with time zone", True, None),
    "clicked_at": ("timestamp with time zone", True, None),
    "failed_at": ("timestamp with time zone", True, None),
    "failure_reason": ("text", True, None),
    "message_id": ("uuid", True, None),
}
_VARIANTS = {
    "id": ("uuid", False, "uuidv7()"),
    "campaign_id": ("uuid", False, None),
    "variant_id": ("character varying(50)", False, None),
    "name": ("character varying(100)", False, None),
    "template_id": ("uuid", False, None),
    "subject": ("character varying(500)", True, None),
    "weight": ("integer", False, None),
    "is_winner": ("boolean", False, "false"),
}
_STATS = {
    "id": ("uuid", False, "uuidv7()"),
    "campaign_id": ("uuid", False, None),
    "variant_id": ("character varying(50)", True, None),
    **{
        f"{name}_count": ("integer", False, "0")
        for name in (
            "sent",
            "delivered",
            "opened",
            "clicked",
            "bounced",
            "unsubscribed",
            "complaint",
        )
    },
    "total_recipients": ("integer", False, "0"),
    "updated_at": ("timestamp with time zone", False, "now()"),
}
_ENUMS = {
    "campaign_channel": ["email", "sms", "whatsapp", "push"],
    "campaign_status": ["draft", "scheduled", "running", "paused", "completed", "cancelled"],
    "campaign_type": ["one_time", "recurring", "triggered"],
    "recipient_status": ["pending", "sent", "delivered", "bounced", "failed", "opened", "clicked"],
}
_INDEXES = {
    "idx_campaigns_tenant_status": "(tenant_id, status)",
    "idx_campaigns_tenant_channel": "(tenant_id, channel)",
    "idx_campaigns_scheduled": "(status, scheduled_at)"
    " WHERE (status = 'scheduled'::campaign_status)",
    "idx_campaign_recipients_campaign_status": "(campaign_id, status)",
    "idx_campaign_recipients_contact": "(contact_id)",
}


async def _columns(connection: Client, table: str) -> dict[str, tuple[str, bool, str | None]]:
    rows = await connection.fetch(
        """SELECT attname, format_type(atttypid, atttypmod) AS type,
                  NOT attnotnull AS nullable, pg_get_expr(adbin, adrelid) AS value
             FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped""",
        table,
    )
    return {row["attname"]: (row["type"], row["nullable"], row["value"]) for row in rows}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("campaigns", _CAMPAIGNS),
        ("campaign_recipients", _RECIPIENTS),
        ("campaign_variants", _VARIANTS),
        ("campaign_stats", _STATS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_column_of_the_specification_exists(
    database: str, table: str, expected: dict[str, tuple[str, bool, str | None]]
) -> None:
    connection = await connect_client(database)
    columns = await _columns(connection, table)
    await connection.close()
    assert {name: columns.get(name) for name in expected} == expected


async def test_enums_and_indexes_of_the_specification_exist(database: str) -> None:
    connection = await connect_client(database)
    for name, values in _ENUMS.items():
        assert await connection.fetchval(f"SELECT enum_range(NULL::{name})::text[]") == values
    definitions = {
        row["indexname"]: row["indexdef"]
        for row in await connection.fetch("SELECT indexname, indexdef FROM pg_indexes")
    }
    await connection.close()
    for name, ending in _INDEXES.items():
        assert definitions[name].endswith(f"USING btree {ending}")


async def test_recipient_ids_sort_by_campaign_and_ordinal(database: str) -> None:
    connection = await connect_client(database)
    highest = (1 << 24) - 1
    text = await connection.fetchval("SELECT recipient_id(42, 1234)::text")
    rows = await connection.fetch(
        "SELECT n, o FROM unnest($1::bigint[], $2::int[]) AS t(n, o) ORDER BY recipient_id(n, o)",
        [1, 1, 2, 0, (1 << 47) - 1],
        [highest, 0, 0, 4096, 0],
    )
    await connection.close()
    assert text == "00000000-002a-8000-84d2-000000000000"
    assert [tuple(row) for row in rows] == [
        (0, 4096),
        (1, 0),
        (1, highest),
        (2, 0),
        ((1 << 47) - 1, 0),
    ]


async def test_recipient_partitions_are_made_ahead_and_concurrently(database: str) -> None:
    async def ensure() -> None:
        connection = await connect_client(database)
        await connection.execute("SELECT ensure_recipient_partitions(7500)")
        await connection.close()

    await asyncio.gather(*(ensure() for _ in range(8)))
    connection = await connect_client(database)
    for block in (0, 1, 7, 8):
        assert (
            await connection.fetchval("SELECT to_regclass($1)", f"campaign_recipients_{block}")
            is not None
        )
    await connection.close()


async def test_migrating_again_and_at_once_changes_nothing(postgres: str) -> None:
    admin = await connect_client(postgres)
    await admin.execute("CREATE DATABASE migrate_twice")
    dsn = postgres.rpartition("/")[0] + "/migrate_twice"
    program = "import sys; from tables.database.migrate import upgrade; upgrade(sys.argv[1])"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, dsn) for _ in range(2)
    ]
    await asyncio.gather(
        asyncio.to_thread(migrate.upgrade, dsn), asyncio.to_thread(migrate.upgrade, dsn)
    )
    assert [await process.wait() for process in processes] == [0, 0]
    async with Database(dsn) as database:
        assert await database.once(migrate.current) == revisions.newest() != ""
    await admin.execute("DROP DATABASE migrate_twice")
    await admin.close()


def test_revisions_are_numbered_without_a_gap_and_the_newest_file_is_the_head() -> None:
    files = sorted(Path(revisions.__file__).with_name("versions").glob("*"))
    numbers = [f"{place:04d}" for place in range(1, len(files) + 1)]
    assert [file.name.partition("_")[0] for file in files] == numbers
    assert revisions.newest() == numbers[-1]


def test_a_database_that_does_not_answer_is_a_dependency_that_is_down() -> None:
    with pytest.raises(DependencyDownError):
        migrate.upgrade("postgresql://postgres@127.0.0.1:1/none")
