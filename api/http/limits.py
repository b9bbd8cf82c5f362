"""The limits of one request and of one caller: the length of the address, the size of the body,
the requests per minute.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import problem
from api.limits.pace import Pace, TooSlowError
from streams.errors import RateLimitedError

MAX_BODY = 1 << 20  # bytes; a campaign with its settings is a few kilobytes
MAX_ADDRESS = 8192  # bytes of path and query
_MINUTE = 60.0


class BodyLimit:
    """Answers 413 to a body over the limit, whether it declares its length or not, 408 to one that
    comes too slowly, and 414 to an address over MAX_ADDRESS.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int = MAX_BODY,
        larger: Mapping[str, int] | None = None,
        pace: Callable[[], Pace] = Pace,
    ) -> None:
        """`limit` in bytes, except for the paths in `larger`, which see to the pace themselves."""
        self._app, self._limit, self._larger = app, limit, larger or {}
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        arrived, limit = 0, self._larger.get(scope["path"], self._limit)
        pace = None if scope["path"] in self._larger else self._pace()
        detail = f"The body is larger than {limit:,} bytes, the limit."

        async def limited() -> Message:
            nonlocal arrived, pace
            try:
                message = await (receive() if pace is None else pace.keep(receive()))
            except TooSlowError as error:
                raise HTTPException(408, str(error), {"Connection": "close"}) from error
            piece = len(message.get("body", b""))
            arrived += piece
            if arrived > limit:
                raise HTTPException(413, detail)
            if pace is not None:
                pace.count(piece)
                # what comes after the body is only that the caller goes away
                pace = pace if message.get("more_body") else None
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
    """At most `per_minute` requests per caller, and `per_tenant` of all callers of a tenant, in
    each minute of this process's clock. Only callers with a good key are counted: memory is
    bounded.
    """

    def __init__(
        self,
        per_minute: int,
        per_tenant: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """0 = no limit."""
        self._limits, self._clock = (("key", per_minute), ("tenant", per_tenant)), clock
        self._until, self._taken = 0.0, Counter[tuple[str, str]]()

    def take(self, caller: str, tenant: str = "") -> Quota | None:
        """Counts one request; the quota of the two that has less left, None without a limit.
        Raises RateLimitedError when the minute's requests are used up.
        """
        now = self._clock()
        if now >= self._until:
            self._until, self._taken = now + _MINUTE, Counter()
        reset, quotas = math.ceil(self._until - now), list[Quota]()
        for (whose, limit), name in zip(self._limits, (caller, tenant), strict=True):
            if not limit:
                continue
            if (taken := self._taken[whose, name]) >= limit:
                raise RateLimitedError(
                    f"The limit is {limit:,} requests per minute and {whose}; wait {reset} s.",
                    retry_after=reset,
                )
            quotas.append(Quota(limit, limit - taken - 1, reset))
        self._taken.update((("key", caller), ("tenant", tenant)))
        return min(quotas, key=lambda quota: quota.remaining, default=None)


class QuotaHeaders:
    """Puts the caller's quota into every answer, as the draft
    draft-ietf-httpapi-ratelimit-headers-06 spells it, and `Idempotency-Replayed: true` into the
    answer to a repeat.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            is_start = message["type"] == "http.response.start"
            state = scope.get("state", {}) if is_start else {}
            if state.get("is_repeat"):
                MutableHeaders(scope=message)["Idempotency-Replayed"] = "true"
            if (quota := state.get("quota")) is not None:
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Limit"], headers["RateLimit-Remaining"] = (
                    str(quota.limit),
                    str(quota.remaining),
                )
                headers["RateLimit-Reset"] = str(quota.reset)
            await send(message)

        await self._app(scope, receive, marked)
