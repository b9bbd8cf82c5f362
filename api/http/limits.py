"""The limits of one request and of one caller: the length of the address, the size of the body,
the requests per minute.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import problem
from streams.errors import RateLimitedError

MAX_BODY = 1 << 20  # bytes; a campaign with its settings is a few kilobytes
MAX_ADDRESS = 8192  # bytes of path and query
_MINUTE = 60.0


class BodyLimit:
    """Answers 413 to a body over the limit, whether it declares its length or not, and 414 to an
    address over MAX_ADDRESS.
    """

    def __init__(
        self, app: ASGIApp, limit: int = MAX_BODY, larger: Mapping[str, int] | None = None
    ) -> None:
        """`limit` in bytes, except for the paths in `larger`."""
        self._app, self._limit, self._larger = app, limit, larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        arrived, limit = 0, self._larger.get(scope["path"], self._limit)
        detail = f"The body is larger than {limit:,} bytes, the limit."

        async def limited() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > limit:
                raise HTTPException(413, detail)
            return message

        request = Request(scope)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_ADDRESS:
            too_long = f"Path and query are longer than {MAX_ADDRESS:,} bytes, the limit."
            return await problem(request, 414, too_long, code="too-long")(scope, receive, send)
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            return await problem(request, 413, detail, code="too-large")(scope, receive, send)
        return await self._app(scope, limited, send)


@dataclass(frozen=True)
class Quota:
    """The requests that a caller has left: `remaining` of `limit` requests, for `reset` more
    seconds.
    """

    limit: int
    remaining: int
    reset: int


class RateLimit:
    """At most `per_minute` requests per caller in each minute of this process's clock. Only callers
    with a good key are counted: memory is bounded.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """0 = no limit."""
        self._limit, self._clock = per_minute, clock
        self._until, self._taken = 0.0, dict[str, int]()

    def take(self, caller: str) -> Quota | None:
        """Counts one request; None without a limit. Raises RateLimitedError when the minute's
        requests are used up.
        """
        if not self._limit:
            return None
        now = self._clock()
        if now >= self._until:
            self._until, self._taken = now + _MINUTE, {}
        reset, taken = math.ceil(self._until - now), self._taken.get(caller, 0)
        if taken >= self._limit:
            raise RateLimitedError(
                f"The limit is {self._limit:,} requests per minute and key; wait {reset} s.",
                retry_after=reset,
            )
        self._taken[caller] = taken + 1
        return Quota(self._limit, self._limit - taken - 1, reset)


class QuotaHeaders:
    """Puts the caller's quota into every answer, as the draft
    draft-ietf-httpapi-ratelimit-headers-06 spells it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            quota = (
                scope.get("state", {}).get("quota")
                if message["type"] == "http.response.start"
                else None
            )
            if quota is not None:
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Limit"], headers["RateLimit-Remaining"] = (
                    str(quota.limit),
                    str(quota.remaining),
                )
                headers["RateLimit-Reset"] = str(quota.reset)
            await send(message)

        await self._app(scope, receive, marked)
