"""Is it alive, is it ready, and the page at `/`; public, without any tenant's data."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, JSONResponse, Response

from api.http.security_headers import HEADERS
from streams.errors import DependencyDownError
from tables.database import job_runs
from tables.database.connection import Database, once

router = APIRouter(tags=["health"])

_PAGE = Path(__file__).with_name("dashboard") / "index.html"


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The dashboard; it loads nothing from anywhere else, and says so to the browser."""
    return FileResponse(_PAGE, headers=HEADERS)


@router.get("/livez")
async def alive() -> dict[str, bool]:
    """The process answers; nothing else is asked."""
    return {"alive": True}


@router.get("/readyz")
async def ready(
    request: Request,
    verbose: Annotated[str | None, Query(description="also show the background jobs")] = None,
) -> Response:
    """200 when PostgreSQL answers, the live counts are read and Kafka takes events; else 503. The
    body says which part is missing.

    With `verbose` (no value is needed) `jobs` shows the last run of each background job and when
    the next is due; null while PostgreSQL is away, and for a job that never ran.
    """
    state = request.app.state
    parts = {
        "postgres": await _answers(state.pool),
        "stats": state.stats.ready.is_set(),
        "sending": state.sending.ready.is_set(),
        "reports": state.reports.is_ready,
    }
    more = {} if verbose is None or verbose == "false" else {"jobs": await _jobs(state.pool)}
    return JSONResponse(
        {"ready": all(parts.values()), "parts": parts} | more, 200 if all(parts.values()) else 503
    )


async def _jobs(pool: Database) -> dict[str, dict[str, Any] | None] | None:
    try:
        async with asyncio.timeout(2):
            _, runs = await once(pool, job_runs.last_runs)
    except (TimeoutError, DependencyDownError):
        return None
    return job_runs.presented(runs)


async def _answers(pool: Database) -> bool:
    try:
        async with asyncio.timeout(2):
            return bool(await pool.once(lambda session: session.fetchval("SELECT true")))
    except (TimeoutError, DependencyDownError):
        return False
