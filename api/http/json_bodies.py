"""Request bodies are strict JSON in UTF-8: no NaN, no half surrogates, no number that overflows, no
name twice, no nesting without end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

# of one object: to refuse 55,000 unknown fields one by one takes half a second, in which no other
# request is served
_MOST_MEMBERS = 10_000


class JsonRoute(APIRoute):
    """A route whose body is parsed strictly: 415 for another content type, 400 for what is not
    JSON.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_JsonRequest(request.scope, request.receive))

        return handle if self.body_field is not None else handler


class _JsonRequest(Request):
    """Python's own parser takes NaN and lone surrogates, which PostgreSQL and our answers would
    choke on.
    """

    async def body(self) -> bytes:
        content = await super().body()
        if content and not _is_json(self.headers.get("content-type", "")):
            raise HTTPException(415, "Send the body as Content-Type: application/json.")
        return content

    async def json(self) -> Any:
        try:
            content = await self.body()
            decoded = msgspec.json.decode(content)
            json.loads(content, object_pairs_hook=_distinct)
            return decoded
        except (msgspec.DecodeError, ValueError) as error:
            raise HTTPException(400, f"The body is not JSON: {_reason(error)}.") from error
        except RecursionError as error:
            raise HTTPException(400, "The body is not JSON: it is nested too deep.") from error


def _distinct(members: list[tuple[str, Any]]) -> None:
    """Two members of one name mean two things to two readers (RFC 8259, section 4). Raises
    ValueError.
    """
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"an object has more than {_MOST_MEMBERS:,} members")
    if len({name for name, _ in members}) < len(members):
        raise ValueError("a name occurs twice in an object")


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _reason(error: Exception) -> str:
    return (
        "it is not UTF-8"
        if isinstance(error, UnicodeDecodeError)
        else str(error).removeprefix("JSON is malformed: ").lower()
    )
