"""Whether PostgreSQL answers at all, whether it lets this process in, and the row that decides
whether the process may start.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row, tuple_row
from sqlalchemy import select, true

from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database.connection import Database
from tables.database.driver import looking
from tables.database.failures import is_refused


async def answers(database: Database, within: timedelta) -> bool:
    """False, too, when PostgreSQL answers with a refusal: another password, no such database."""
    try:
        async with asyncio.timeout(within.total_seconds()), database.transaction() as transaction:
            return bool(await transaction.scalar(select(true())))
    except (TimeoutError, DependencyDownError, psycopg.Error):
        return False


def row(settings: Settings, sql: str) -> dict[str, Any] | None:
    """The first row that the statement finds, on a connection of its own: a process looks at it
    before it starts. None when there is no row, and while PostgreSQL is away, refuses, or has no
    such table yet. Blocks as `refusal` does.
    """
    try:
        with looking(settings.postgres, dict_row) as connection:
            return connection.execute(sql).fetchone()
    except psycopg.Error:
        return None


def refusal(settings: Settings) -> str:
    """Why PostgreSQL does not let this process in, in one sentence; "" when it does, and when it is
    away or its database is still to be made. Blocks for milliseconds, or five seconds at most for
    each host that does not answer.
    """
    try:
        with looking(settings.postgres, tuple_row):
            pass
    except psycopg.OperationalError as error:
        if is_refused(error):
            said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
            return f"PostgreSQL does not accept CAMPAIGNS_POSTGRES, or is not accepted: {said}"
    except psycopg.ProgrammingError as error:  # libpq's parser; its sentence can hold the DSN
        return f"CAMPAIGNS_POSTGRES is not a DSN that libpq can read ({type(error).__name__})"
    return ""
