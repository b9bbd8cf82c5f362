"""A small application around one piece of `api.http`, called without a server or an engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.http import problems


def with_problems() -> FastAPI:
    """An application without routes that answers every refusal as ours does."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    problems.install(app)
    return app


async def asked(
    app: ASGIApp,
    method: str,
    path: str,
    content: bytes | AsyncIterator[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Its answer; a bug becomes a 500 as it does behind a server."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.request(method, path, content=content, headers=headers)
