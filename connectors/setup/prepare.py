"""Makes PostgreSQL and Kafka ready for the processes: creates and migrates the database, creates
the topics; repeating it is harmless.
"""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

import asyncpg
from aiokafka.errors import KafkaError

from connectors.setup import topics
from streams.errors import CampaignError
from streams.settings import Settings, from_environment
from tables.database.migrate import upgrade

_PATIENCE = 30.0  # seconds for a server that is just starting


async def prepare(settings: Settings) -> None:
    """Raises `OSError`, `DependencyDownError`, asyncpg's `PostgresError` or aiokafka's `KafkaError`
    when a server is away or refuses.
    """
    await asyncio.gather(_prepare_database(settings.postgres), topics.create(settings))


async def _prepare_database(dsn: str) -> None:
    await _create_database(dsn)
    await asyncio.to_thread(upgrade, dsn)


async def _create_database(dsn: str) -> None:
    """Creates the database that the DSN names when it is missing and this user may; the next step
    reports it otherwise.
    """
    deadline, name = time.monotonic() + _PATIENCE, urlsplit(dsn).path.lstrip("/")
    while True:
        try:
            connection = await asyncpg.connect(dsn)
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(dsn, database="postgres")
            try:
                await connection.execute(f'CREATE DATABASE "{name}"')
            finally:
                await connection.close()
            return
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            await connection.close()
            return


if __name__ == "__main__":
    try:
        asyncio.run(prepare(from_environment()))
    except (OSError, asyncpg.PostgresError, KafkaError, CampaignError) as failure:
        sys.exit(
            f"the database or the topics could not be prepared: {type(failure).__name__}: {failure}"
        )
