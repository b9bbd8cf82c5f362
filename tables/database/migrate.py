"""Brings a database to the newest schema. It may run any number of times, in several processes at
once.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tables.database.connection import Session
from tables.database.driver import DriverConnection
from tables.database.failures import translated

_MIGRATIONS = Path(__file__).with_name("migrations")
# Alembic keeps its context in module globals; between processes an advisory lock does the same
_one_at_a_time = Lock()


def upgrade(dsn: str, revision: str = "head") -> None:
    """Migrate to a revision, the newest one if none is named, in one transaction: all of it or
    nothing. Blocks; also callable where an event loop runs.

    Raises DependencyDownError when PostgreSQL does not answer.
    """
    with _one_at_a_time, ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _upgrade(dsn, revision)).result()


def newest() -> str:
    """The revision that this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


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
            async with engine.connect() as connection:
                await connection.run_sync(_run, revision)
    finally:
        await engine.dispose()


def _run(connection: SyncConnection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
