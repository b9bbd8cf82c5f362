"""What a job works with, without a worker around it: `async with contexts(settings) as make: await
job.run(make(at))`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from agents.jobs.job import JobContext
from streams.settings import Settings
from tables.database.connection import Database
from tables.stats.views import StatsView


@asynccontextmanager
async def contexts(settings: Settings) -> AsyncIterator[Callable[[datetime | None], JobContext]]:
    """Makes contexts that share a pool and a view of stats that nobody has counted yet."""
    database, stats = Database(settings, "campaigns-jobs"), StatsView(settings)
    try:
        yield lambda at: JobContext(database, settings, stats, at or datetime.now(UTC))
    finally:
        await database.close()
