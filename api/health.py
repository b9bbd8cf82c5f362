"""Whether the process is alive and ready; public, without a tenant's data."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.http.dependencies import Provided, Services
from api.http.envelope import Instant, Schema, shown_as
from streams.errors import DependencyDownError
from streams.settings.agreement import Agreement, refusals
from tables.database import job_runs, probe
from tables.installation import installation

router = APIRouter(tags=["health"])

_PATIENCE = timedelta(seconds=2)
_PARTS = {"postgres": True, "stats": True, "sending": True, "reports": True, "settings": True}


class Alive(Schema):
    """The process answers."""

    model_config = shown_as({"alive": True})

    alive: bool


class Ready(Schema):
    """Which of the parts that the process needs are there."""

    model_config = shown_as({"ready": True, "parts": _PARTS})

    ready: bool
    parts: dict[str, bool]


class Run(Schema):
    """The last run of a background job; `failures` are those in a row."""

    started_at: Instant
    finished_at: Instant | None
    outcome: str
    counts: dict[str, int]
    error: str | None
    failures: int
    succeeded_at: Instant | None
    next_at: Instant | None


class ReadyWithJobs(Ready):
    """`jobs` by name; null while PostgreSQL is away, and for a job that never ran."""

    jobs: dict[str, Run | None] | None


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Ready,
        "description": "Not ready",
        "content": {
            "application/json": {"example": {"ready": False, "parts": {**_PARTS, "stats": False}}}
        },
    }
}


@router.get("/livez")
async def alive() -> Alive:
    """The process answers; nothing else is asked."""
    return Alive(alive=True)


@router.get("/readyz", responses=_NOT_READY)
async def ready(
    response: Response,
    services: Provided,
    verbose: Annotated[str | None, Query(description="also show the background jobs")] = None,
) -> ReadyWithJobs | Ready:
    """200 when PostgreSQL answers, the live counts are read, Kafka takes events and the settings
    are those of the installation; else 503. The body says which part is missing.

    With `verbose` (no value is needed) `jobs` shows the last run of each background job and when
    the next is due; null while PostgreSQL is away, and for a job that never ran.
    """
    parts = {
        "postgres": await probe.answers(services.database, _PATIENCE),
        "stats": services.stats.ready.is_set(),
        "sending": services.sending.ready.is_set(),
        "reports": services.reports.is_ready,
        "settings": await _agree(services),
    }
    is_ready = all(parts.values())
    response.status_code = 200 if is_ready else 503
    if verbose is None or verbose == "false":
        return Ready(ready=is_ready, parts=parts)
    return ReadyWithJobs(ready=is_ready, parts=parts, jobs=await _jobs(services))


async def _agree(services: Services) -> bool:
    """Whether the settings are those that `campaigns prepare` had, as far as can be known now."""
    agreed = await installation.present(services.database)
    return agreed is None or not refusals(Agreement.of(services.settings), agreed)


async def _jobs(services: Services) -> dict[str, Run | None] | None:
    try:
        async with (
            asyncio.timeout(_PATIENCE.total_seconds()),
            services.database.transaction() as session,
        ):
            _, runs = await job_runs.last_runs(session)
    except (TimeoutError, DependencyDownError):
        return None
    return {name: Run.of_row(runs[name]) if name in runs else None for name in job_runs.JOBS}
