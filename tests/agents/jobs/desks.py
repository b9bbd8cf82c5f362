"""What a job works with, without a worker around it: `async with desk(settings) as make: await
job.run(make(at))`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from agents.jobs.job import Desk
from streams.settings import Settings
from tables.database.connection import Database
from tables.stats.views import StatsView


@asynccontextmanager
async def desk(settings: Settings) -> AsyncIterator[Callable[[datetime | None], Desk]]:
    """Makes desks that share a pool and a view of stats that nobody has counted yet."""
    database, stats = Database(settings, "campaigns-jobs"), StatsView(settings)
    try:
        yield lambda at: Desk(database, settings, stats, at or datetime.now(UTC))
    finally:
        await database.close()
