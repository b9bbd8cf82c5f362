"""Rows that a session reads are values, and rows that it writes are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import delete, event, func, insert, select, update
from sqlalchemy.dialects import postgresql

from tables.database.connection import Database, Session
from tables.models import Segment, Tenant


@pytest.fixture
async def session(pool: Database) -> AsyncIterator[Session]:
    async with pool.transaction() as session:
        await session.execute(insert(Tenant), [{"id": "acme"}, {"id": "other"}])
        yield session


async def test_a_row_stays_what_it_was_when_it_was_read(session: Session) -> None:
    by_id = select(Tenant).where(Tenant.id == "acme")
    before = await session.first(by_id)
    statement = update(Tenant).where(Tenant.id == "acme").values(hourly_limit=5).returning(Tenant)
    changed = await session.first(statement)
    assert before is not None
    assert changed is not None
    assert (before.hourly_limit, changed.hourly_limit) == (None, 5)
    assert await session.first(by_id) == changed != before
    assert len(session.identity_map) == 0


async def test_rows_with_the_same_columns_are_equal(session: Session) -> None:
    first, again = [await session.every(select(Tenant).order_by(Tenant.id)) for _ in range(2)]
    assert first == again
    assert first[0] != again[1]
    assert len({*first, *again}) == 2


async def test_without_a_row_there_is_none(session: Session) -> None:
    statement = postgresql.insert(Tenant).values(id="acme").on_conflict_do_nothing()
    assert await session.first(statement.returning(Tenant)) is None
    assert await session.every(select(Segment)) == []


async def test_written_rows_are_counted(session: Session) -> None:
    assert await session.changed(update(Tenant).values(daily_limit=9)) == 2
    assert await session.changed(delete(Tenant).where(Tenant.id == "nobody")) == 0
    added = "INSERT INTO tenants (id) SELECT unnest(%(names)s::text[]) ON CONFLICT DO NOTHING"
    assert await session.run(added, names=["acme", "b", "c"]) == 2


async def test_nothing_is_asked_back_of_rows_that_are_only_changed(
    pool: Database, session: Session
) -> None:
    statements = list[str]()

    @event.listens_for(pool._engine.sync_engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    # a condition that SQLAlchemy cannot evaluate itself
    named = func.lower(Tenant.id).in_(["acme"])
    assert await session.changed(update(Tenant).where(named).values(daily_limit=9)) == 1
    assert statements
    assert not any("RETURNING" in statement for statement in statements)
