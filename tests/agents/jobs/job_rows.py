"""What tests of the jobs look for in PostgreSQL."""

from __future__ import annotations

from typing import Any

from tables.database import job_runs
from tables.database.connection import Database
from tables.models import JobRun
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World


async def completed(world: World, sent: int) -> int:
    """The number of a campaign that has just been completed."""
    statement = (
        "UPDATE campaigns SET status = 'completed', completed_at = now(),"
        " total_recipients = $2, sent_count = $2, skipped_count = 0"
        " WHERE id = $1 RETURNING number"
    )
    return int(await sql(world.pool).fetchval(statement, await world.created(), sent))


async def last(pool: Database, job: str) -> JobRun | None:
    async with pool.transaction() as connection:
        return (await job_runs.last_runs(connection, [job]))[1].get(job)


async def materialised(pool: Database, number: int) -> dict[str, Any]:
    statement = (
        "SELECT s.* FROM campaign_stats s JOIN campaigns c ON c.id = campaign_id"
        " WHERE number = $1 AND variant_id IS NULL"
    )
    return dict(await sql(pool).fetchrow(statement, number) or {})


async def done(pool: Database, job: str) -> Any:
    run = await last(pool, job)
    return run if run is not None and run.outcome == "done" else None
