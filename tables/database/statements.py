"""Statements on the driver's connection, which every unit of work has, and reading without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row, scalar_row
from sqlalchemy import Enum, Integer, Select, bindparam, func, inspect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.orm.attributes import manager_of_class

from tables.models import Base

LONGEST_LIST = 10.0  # seconds
_LIMIT, _OFFSET = "page_limit", "page_offset"
T = TypeVar("T")
E = TypeVar("E", bound=Base)


class Statements:
    """SQL as text, for what SQLAlchemy cannot express, works on sets or is hot. Parameters are
    `%(name)s`; a percent sign in the text is `%%`.
    """

    async def driver(self) -> psycopg.AsyncConnection[Any]:
        """The driver's connection, for statements where microseconds count."""
        raise NotImplementedError

    async def rows(self, kind: type[T], sql: str, **parameters: Any) -> list[T]:
        """The rows of a set-based statement, each made into a `kind`, whose fields have the names
        of the columns.
        """
        cursor = (await self.driver()).cursor(row_factory=class_row(kind))
        return await (await cursor.execute(sql, parameters)).fetchall()

    async def values(self, sql: str, **parameters: Any) -> list[Any]:
        """The only column of such a statement."""
        cursor = (await self.driver()).cursor(row_factory=scalar_row)
        return await (await cursor.execute(sql, parameters)).fetchall()

    async def value(self, sql: str, **parameters: Any) -> Any:
        """The first column of its first row; None when there is no row."""
        cursor = (await self.driver()).cursor(row_factory=scalar_row)
        return await (await cursor.execute(sql, parameters)).fetchone()

    async def run(self, sql: str, **parameters: Any) -> int:
        """How many rows such a statement changed."""
        return (await (await self.driver()).execute(sql, parameters)).rowcount

    async def clock(self) -> datetime:
        """The time by PostgreSQL's clock, which all processes share."""
        now: datetime = await self.value("SELECT clock_timestamp()")
        return now

    async def script(self, sql: str) -> None:
        """Run several statements without parameters, such as settings of the transaction."""
        await (await self.driver()).execute(sql)


class Reading(Statements):
    """A connection without a transaction: each statement sees what was committed before it began.

    For the few reads that every request makes. It spares BEGIN, COMMIT and SQLAlchemy's session:
    finding a row takes a fifth of the CPU of a unit of work.
    """

    def __init__(self, driver: psycopg.AsyncConnection[Any]) -> None:
        self._driver = driver

    async def driver(self) -> psycopg.AsyncConnection[Any]:
        return self._driver

    async def first(
        self, statement: Select[E], parameters: Mapping[str, Any] | None = None
    ) -> E | None:
        """The first row that a select of one table finds. The statement is one that was made once:
        it is compiled at its first use, and kept.
        """
        return await (await self._found(statement, parameters)).fetchone()

    async def every(
        self, statement: Select[E], parameters: Mapping[str, Any] | None = None
    ) -> list[E]:
        """All rows that such a statement finds, in its order."""
        return await (await self._found(statement, parameters)).fetchall()

    async def page(
        self, statement: Select[E], parameters: Mapping[str, Any], limit: int, offset: int
    ) -> tuple[list[E], int]:
        """At most `limit` of the rows that the statement finds, after the first `offset`, and how
        many it finds in all; they are counted only where the page does not show it. Raises
        TimeoutError after LONGEST_LIST: to count what a search finds could take minutes.
        """
        wanted, count = _page_and_count(statement)
        async with asyncio.timeout(LONGEST_LIST):
            found = await self.every(wanted, {**parameters, _LIMIT: limit, _OFFSET: offset})
            if len(found) < limit and (found or not offset):
                return found, offset + len(found)
            return found, await self.value(count, **parameters)

    async def _found(
        self, statement: Select[E], parameters: Mapping[str, Any] | None
    ) -> psycopg.AsyncCursor[E]:
        sql, entity = _compiled(statement)
        cursor = self._driver.cursor(row_factory=_rows_of(entity))
        return await cursor.execute(sql, parameters)


def counting(statement: Select[Any]) -> Select[Any]:
    """A statement that counts what the other one finds."""
    return statement.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)


@lru_cache(maxsize=64)
def _page_and_count(statement: Select[E]) -> tuple[Select[E], str]:
    page = statement.limit(bindparam(_LIMIT, type_=Integer)).offset(
        bindparam(_OFFSET, type_=Integer)
    )
    return page, _text(counting(statement))


@lru_cache(maxsize=64)
def _compiled(statement: Select[E]) -> tuple[str, type[E]]:
    return _text(statement), statement.column_descriptions[0]["entity"]


def _text(statement: Select[Any]) -> str:
    return str(statement.compile(dialect=PGDialect_psycopg()))  # type: ignore[no-untyped-call]


def _rows_of(entity: type[E]) -> Callable[[Any], Callable[[Sequence[Any]], E]]:
    """psycopg's row factory for the rows of a table, as SQLAlchemy would make them: its class
    manager makes one in a tenth of the time that the class's own constructor takes.
    """
    kinds, manager = _enumerations(entity), manager_of_class(entity)

    def of_cursor(cursor: Any) -> Callable[[Sequence[Any]], E]:
        names = [column.name for column in cursor.description or ()]

        def made(values: Sequence[Any]) -> E:
            fields = dict(zip(names, values, strict=True))
            for name, kind in kinds:
                if (value := fields[name]) is not None:
                    fields[name] = kind(value)
            instance = manager.new_instance()
            instance.__dict__.update(fields)
            return instance

        return made

    return of_cursor


@lru_cache
def _enumerations(entity: type[Base]) -> Sequence[tuple[str, Callable[[str], Any]]]:
    """The columns whose values are members of a Python enumeration."""
    return [
        (column.key, column.type.enum_class)
        for column in inspect(entity).columns
        if isinstance(column.type, Enum) and column.type.enum_class is not None
    ]
