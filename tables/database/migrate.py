"""Brings a database to the newest schema. It may run any number of times, in several processes at
once.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tables.database.connection import Session
from tables.database.driver import DriverConnection
from tables.database.failures import translated
from tables.database.migrations import revisions

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('campaigns.migrate'))"


def upgrade(dsn: str, revision: str = "head") -> None:
    """Migrate to a revision, the newest one if none is named, in one transaction: all of it or
    nothing. Blocks; also callable where an event loop runs.

    Raises DependencyDownError when PostgreSQL does not answer.
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
        with translated():
            async with engine.begin() as connection:
                # Several processes of a starting stack migrate at once: the second waits here and
                # then finds nothing to do.
                await connection.exec_driver_sql(_LOCK)
                await connection.run_sync(revisions.run, revision)
    finally:
        await engine.dispose()
