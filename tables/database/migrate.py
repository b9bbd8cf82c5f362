"""Makes a database and brings it to the newest schema. Both may run any number of times, in several
processes at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from streams.errors import DependencyDownError
from tables.database.connection import Session
from tables.database.driver import DriverConnection
from tables.database.failures import (
    LOCK_NOT_AVAILABLE,
    is_missing_database,
    is_refused,
    sqlstate,
    translated,
)
from tables.database.migrations import revisions

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('campaigns.migrate'))"
# Whoever waits for a table in order to change it makes everybody wait who only reads it. So a
# migration waits for two seconds, lets all others go first, and begins again.
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
_ATTEMPTS = 60
_PAUSE = 3.0  # seconds
_PATIENCE = 30.0  # seconds for a server that is just starting
_log = logging.getLogger(__name__)


async def create(dsn: str) -> None:
    """Create the database that the DSN names when it is missing and this user may; `upgrade`
    reports it otherwise. A server that is just starting is waited for. Raises `PostgresError` when
    it does not answer, or refuses.
    """
    deadline, name = time.monotonic() + _PATIENCE, conninfo_to_dict(dsn).get("dbname", "")
    while True:
        try:
            connection = await DriverConnection.open(dsn, application_name="campaigns-prepare")
        except psycopg.OperationalError as error:
            if is_missing_database(error):
                await _create(dsn, str(name))
                return
            if is_refused(error) or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            await connection.close()
            return


async def _create(dsn: str, name: str) -> None:
    connection = await DriverConnection.open(
        make_conninfo(dsn, dbname="postgres"), application_name="campaigns-prepare", autocommit=True
    )
    try:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    finally:
        await connection.close()


def upgrade(dsn: str, revision: str = "head") -> None:
    """Migrate to a revision, the newest one if none is named, in one transaction: all of it or
    nothing. Blocks; also callable where an event loop runs.

    A table that another session holds is waited for with pauses, about five minutes. Raises
    DependencyDownError when PostgreSQL does not answer, or the table is held for longer.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _upgrade(dsn, revision)).result()


async def current(session: Session) -> str:
    """The revision that the database has, "" before the first migration."""
    if await session.value("SELECT to_regclass('alembic_version')::text") is None:
        return ""
    return str(await session.value("SELECT version_num FROM alembic_version"))


async def _upgrade(dsn: str, revision: str) -> None:
    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=lambda: DriverConnection.open(
            dsn, application_name="campaigns-migrate", statement_timeout=timedelta(0)
        ),
        poolclass=NullPool,
    )
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with translated():
                    await _once(engine, revision)
                return
            except DependencyDownError as error:
                if sqlstate(error.__cause__) != LOCK_NOT_AVAILABLE or attempt == _ATTEMPTS:
                    raise
                _log.warning("a table is in use; the migration begins again in %.0f s", _PAUSE)
                await asyncio.sleep(_PAUSE)
    finally:
        await engine.dispose()


async def _once(engine: AsyncEngine, revision: str) -> None:
    async with engine.begin() as connection:
        # Several processes of a starting stack migrate at once: the second waits here and then
        # finds nothing to do.
        await connection.exec_driver_sql(_LOCK)
        await connection.exec_driver_sql(_LOCK_TIMEOUT)
        await connection.run_sync(revisions.run, revision)
