"""A unit of work for a caller that is not kept waiting: a request, a provider's webhook, a
recipient's mail program.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from streams.errors import DependencyDownError
from tables.database.connection import Connection, Database


@asynccontextmanager
async def acquired(database: Database, within: timedelta) -> AsyncIterator[Connection]:
    """`Database.transaction` that raises DependencyDownError, too, when no connection is free, or
    none can be opened, `within` this time.
    """
    async with database.transaction() as transaction:
        try:
            async with asyncio.timeout(within.total_seconds()):
                await transaction.connection()
        except TimeoutError as error:
            raise DependencyDownError(
                f"PostgreSQL had no free connection within {within.total_seconds():g} s."
                " Nothing was changed; try again."
            ) from error
        yield transaction
