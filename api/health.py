"""Is it alive, is it ready, and the page at `/`; public, without any tenant's data."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, JSONResponse, Response

router = APIRouter(tags=["health"])

_PAGE = Path(__file__).with_name("dashboard") / "index.html"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The dashboard; it loads nothing from anywhere else, and says so to the browser."""
    return FileResponse(_PAGE, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


@router.get("/livez")
async def alive() -> dict[str, bool]:
    """The process answers; nothing else is asked."""
    return {"alive": True}


@router.get("/readyz")
async def ready(request: Request) -> Response:
    """200 when PostgreSQL answers, the live counts are read and Kafka takes events; else 503. The body says which part is missing."""
    state = request.app.state
    parts = {
        "postgres": await _answers(state.pool),
        "stats": state.stats.ready.is_set(),
        "sending": state.sending.ready.is_set(),
        "reports": state.reports.is_ready,
    }
    return JSONResponse({"ready": all(parts.values()), "parts": parts}, 200 if all(parts.values()) else 503)


async def _answers(pool: asyncpg.Pool) -> bool:
    try:
        async with asyncio.timeout(2):
            return bool(await pool.fetchval("SELECT true"))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
