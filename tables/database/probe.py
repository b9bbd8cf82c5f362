"""Whether PostgreSQL answers at all."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import select, true

from streams.errors import DependencyDownError
from tables.database.connection import Database
from tables.database.failures import DatabaseError


async def answers(database: Database, within: timedelta) -> bool:
    """False, too, when PostgreSQL answers with a refusal: another password, no such database."""
    try:
        async with asyncio.timeout(within.total_seconds()), database.transaction() as transaction:
            return bool(await transaction.scalar(select(true())))
    except (TimeoutError, DependencyDownError, *DatabaseError):
        return False
