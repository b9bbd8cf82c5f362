"""A client of PostgreSQL for tests, independent of the product's own database layer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Self, cast

import psycopg
from psycopg.rows import RowMaker
from psycopg.types.array import ListDumper
from psycopg.types.json import Jsonb, JsonbDumper

from tables.database.connection import Database, Session

DatabaseError = psycopg.Error


class Row(tuple[Any, ...]):
    """A row by position and by name."""

    names: tuple[str, ...] = ()

    def keys(self) -> Iterable[str]:
        return self.names

    def __getitem__(self, place: Any) -> Any:
        return super().__getitem__(self.names.index(place) if isinstance(place, str) else place)


def _rows(cursor: Any) -> RowMaker[Row]:
    names = tuple(column.name for column in cursor.description or ())
    return cast("RowMaker[Row]", type("Row", (Row,), {"names": names}))


class _Document(JsonbDumper):
    def dump(self, obj: Any) -> Any:
        return super().dump(Jsonb(obj))


class Statements:
    """SQL by itself: parameters are `$1`, `$2` …"""

    async def _run(self, sql: str, arguments: Sequence[Any]) -> list[Row]:
        raise NotImplementedError

    async def fetch(self, sql: str, *arguments: Any) -> list[Row]:
        return await self._run(sql, arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> Row | None:
        found = await self._run(sql, arguments)
        return found[0] if found else None

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        row = await self.fetchrow(sql, *arguments)
        return None if row is None else row[0]

    async def execute(self, sql: str, *arguments: Any) -> None:
        await self._run(sql, arguments)

    async def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            await self._run(sql, row)


async def _executed(
    connection: psycopg.AsyncConnection[Any], sql: str, arguments: Sequence[Any]
) -> list[Row]:
    cursor = psycopg.AsyncRawCursor(connection, row_factory=_rows)
    await cursor.execute(sql, arguments or None)
    return await cursor.fetchall() if cursor.description else []


class _InSession(Statements):
    def __init__(self, session: Session) -> None:
        self._session = session

    async def _run(self, sql: str, arguments: Sequence[Any]) -> list[Row]:
        return await _executed(await self._session.driver(), sql, arguments)


class _InDatabase(Statements):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def _run(self, sql: str, arguments: Sequence[Any]) -> list[Row]:
        async with self._database.transaction() as session:
            return await _executed(await session.driver(), sql, arguments)


def sql(within: Database | Session) -> Statements:
    """Statements in a session, or each in a transaction of its own."""
    return _InSession(within) if isinstance(within, Session) else _InDatabase(within)


class Client(Statements):
    """One connection; each statement is committed by itself. Parameters are `$1`, `$2` …"""

    def __init__(self, connection: psycopg.AsyncConnection[Any], dsn: str) -> None:
        self._connection, self.dsn = connection, dsn
        connection.adapters.register_dumper(dict, _Document)
        connection.adapters.register_dumper(tuple, ListDumper)

    @classmethod
    async def connect(cls, dsn: str, **options: Any) -> Self:
        connection = await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, options="-c timezone=UTC", **options
        )
        return cls(connection, dsn)

    async def _run(self, sql: str, arguments: Sequence[Any]) -> list[Row]:
        return await _executed(self._connection, sql, arguments)

    async def copy_out(self, sql: str, out: BinaryIO) -> None:
        async with self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            async for piece in copy:
                out.write(piece)

    async def copy_in(self, sql: str, source: BinaryIO) -> None:
        async with self._connection.cursor() as cursor, cursor.copy(sql) as copy:
            while piece := source.read(1 << 20):
                await copy.write(piece)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._connection.transaction():
            yield

    async def close(self) -> None:
        await self._connection.close()


async def connect(dsn: str, **options: Any) -> Client:
    return await Client.connect(dsn, **options)
