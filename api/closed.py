"""The API while PostgreSQL and Kafka do not fit (docs/operate/restore.md): it answers that it will
be back.

A request that it took would be lost, or be counted for another campaign, so it takes none. But
people say no meanwhile: they read that they have to try again, and the 503 has mail programs repeat
their one click, and providers their webhooks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from api.http import problems
from api.http.browsers.cookies import is_https
from api.http.browsers.headers import AnswerHeaders
from api.recipients import pages
from streams import metrics
from streams.settings import Settings

_EVERY = 10.0  # seconds
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PATIENCE = {"Retry-After": "60"}


def create_app(
    settings: Settings, refusal: Callable[[Settings], str], reopen: Callable[[], None]
) -> ASGIApp:
    """An application that asks `refusal` every ten seconds, on a thread, and calls `reopen` once
    when it has nothing to say any more. It holds no connection.
    """

    async def ask() -> None:
        while True:
            await asyncio.sleep(_EVERY)
            if not await asyncio.to_thread(refusal, settings):
                reopen()
                return

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        asking = asyncio.create_task(ask())
        yield
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking

    routes = [
        Route("/livez", _alive),
        Route("/readyz", _not_ready),
        Route("/t/o/{token}.gif", _opened),
        Route("/t/{rest:path}", _try_again),
        Route("/u/{token}", _try_again, methods=["GET", "POST"]),
        Route("/{rest:path}", _refused, methods=list(_METHODS)),
    ]
    return AnswerHeaders(Starlette(routes=routes, lifespan=lifespan), is_https=is_https(settings))


async def _alive(request: Request) -> Response:
    return JSONResponse({"alive": True})


async def _not_ready(request: Request) -> Response:
    return JSONResponse({"ready": False, "parts": {"installation": False}}, 503)


async def _opened(request: Request) -> Response:
    """A mail reader does not try again: the image is whole, and the open is lost."""
    metrics.TRACKING_LOST.inc()
    return pages.pixel()


async def _try_again(request: Request) -> Response:
    return pages.try_again()


async def _refused(request: Request) -> Response:
    detail = "This installation is being restored and takes nothing. Please try again later."
    return problems.problem(request, 503, detail, code="mismatch", headers=_PATIENCE)
