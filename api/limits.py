"""A cap on request bodies, enforced while they arrive, before anything is parsed."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

MAX_BODY = 1 << 20  # bytes; a campaign with its settings is a few kilobytes


class BodyLimit:
    """Answers 413 to a body over `limit` bytes, whether it declares its length or not."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        self._app, self._limit = app, limit
        self._detail = f"The body is larger than {limit:,} bytes, the limit."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        arrived = 0

        async def limited() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._limit:
                raise HTTPException(413, self._detail)
            return message

        request = Request(scope)
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._limit:
            return await problem(request, 413, self._detail, code="too-large")(scope, receive, send)
        return await self._app(scope, limited, send)
