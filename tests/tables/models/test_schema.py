"""The models are the schema: a migrated database and the classes differ in nothing."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Enum

from tables.database.connection import Database
from tables.models import Base
from tests.postgres import connect as connect_client

# What the models do not describe: partitions and stages are made while the engine runs.
_MADE_LATER = ("campaign_recipients_", "stage_", "alembic_version")


def _is_ours(name: str | None, kind: str, _: object) -> bool:
    return kind != "table" or not (name or "").startswith(_MADE_LATER)


def differences(connection: Connection) -> list[object]:
    """What Alembic would change to make the database what the models are."""
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": _is_ours,
        "target_metadata": Base.metadata,
    }
    return list(
        compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    )


async def test_alembic_finds_no_difference_between_the_migrated_database_and_the_models(
    database: str,
) -> None:
    async with Database(database) as opened, opened.transaction() as session:
        assert await session.run_sync(lambda it: differences(it.connection())) == []


@pytest.mark.parametrize("name", ["campaigns", "suppressions", "contacts"])
async def test_a_column_or_an_index_that_is_not_in_the_models_is_found(
    database: str, name: str
) -> None:
    client = await connect_client(database)
    await client.execute(f"ALTER TABLE {name} ADD COLUMN planted integer")
    await client.execute(f"CREATE INDEX planted ON {name} (created_at)")
    await client.close()
    async with Database(database) as opened, opened.transaction() as session:
        assert len(await session.run_sync(lambda it: differences(it.connection()))) == 2


async def test_what_alembic_does_not_compare_is_the_same_too(database: str) -> None:
    """Checks, values of enums, names of keys, storage parameters, identity columns, orders of index
    columns and their operator classes: by PostgreSQL's own catalogue, against a database that is
    made from the models alone.
    """
    client = await connect_client(database)
    migrated = [await client.fetch(query) for query in _CATALOGUE]
    await client.execute("DROP SCHEMA public CASCADE")
    await client.execute("CREATE SCHEMA public")
    await client.close()
    async with Database(database) as opened, opened.transaction() as session:
        await session.run_sync(lambda it: Base.metadata.create_all(it.connection()))
    client = await connect_client(database)
    made = [await client.fetch(query) for query in _CATALOGUE]
    await client.close()
    for before, after in zip(migrated, made, strict=True):
        assert [tuple(row) for row in after] == [tuple(row) for row in before]


async def test_every_value_of_an_enumeration_is_that_of_the_type(database: str) -> None:
    client = await connect_client(database)
    rows = await client.fetch(
        "SELECT typname::text, array_agg(enumlabel::text ORDER BY enumsortorder)"
        " FROM pg_enum JOIN pg_type t ON t.oid = enumtypid GROUP BY typname"
    )
    await client.close()
    enums = {
        column.type.name: column.type.enums
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Enum)
    }
    assert enums == dict(rows)


_OURS = (
    "relnamespace = 'public'::regnamespace"
    " AND relname !~ '^(campaign_recipients_[0-9]|stage_|alembic)'"
)
_CATALOGUE = (
    # constraints; NOT ENFORCED can be said in a migration only
    f"""SELECT c.relname, conname, replace(pg_get_constraintdef(o.oid), ' NOT ENFORCED', '')
          FROM pg_constraint o JOIN pg_class c ON c.oid = conrelid
         WHERE {_OURS} AND contype <> 'n' ORDER BY 1, 2""",
    f"""SELECT c.relname, pg_get_indexdef(indexrelid)
          FROM pg_index JOIN pg_class c ON c.oid = indrelid
         WHERE {_OURS} ORDER BY 1, 2""",
    f"""SELECT relname, relkind, relpersistence,
               (SELECT array_agg(o ORDER BY o) FROM unnest(reloptions) o)
          FROM pg_class WHERE relkind IN ('r', 'p') AND {_OURS} ORDER BY 1""",
    f"""SELECT c.relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
               pg_get_expr(adbin, adrelid)
          FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
          LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p') AND {_OURS}
         ORDER BY 1, 2""",
    f"""SELECT c.relname, seqmin, seqmax FROM pg_sequence JOIN pg_class c ON c.oid = seqrelid
         WHERE {_OURS} ORDER BY 1""",
)
