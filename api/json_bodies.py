"""Request bodies are strict JSON in UTF-8: no NaN, no half surrogates, no number that overflows, and nothing nested without end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


class JsonRoute(APIRoute):
    """A route whose body is parsed strictly: 415 for another content type, 400 for what is not JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_JsonRequest(request.scope, request.receive))

        return handle if self.body_field is not None else handler


class _JsonRequest(Request):
    """Python's own parser takes NaN and lone surrogates, which PostgreSQL and our answers would choke on."""

    async def body(self) -> bytes:
        content = await super().body()
        if content and not _is_json(self.headers.get("content-type", "")):
            raise HTTPException(415, "Send the body as Content-Type: application/json.")
        return content

    async def json(self) -> Any:
        try:
            return msgspec.json.decode(await self.body())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HTTPException(400, f"The body is not JSON: {_reason(error)}.") from error
        except RecursionError as error:
            raise HTTPException(400, "The body is not JSON: it is nested too deep.") from error


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _reason(error: Exception) -> str:
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).removeprefix("JSON is malformed: ").lower()
