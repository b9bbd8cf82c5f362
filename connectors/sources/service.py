"""One HTTP service of the company's own in place of our directory: timeouts, retries, and a circuit
breaker in front of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import stamina
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from streams import metrics
from streams.errors import DependencyDownError
from streams.settings import Settings

LARGEST_ANSWER = 16 << 20  # bytes; a page of 1,000 contacts with all their attributes
_ATTEMPTS = 3
_FAILURES = 5  # calls in a row that fail until no more are made
_REST = 10.0  # seconds without calls; after them one call tries whether the service is back
_log = logging.getLogger(__name__)
A = TypeVar("A")


class SourceDownError(DependencyDownError):
    """A segment, contact or template service does not answer, or its answer breaks the contract."""

    title: ClassVar[str] = "A directory service is down"


class _RepeatableError(Exception):
    """An attempt failed, and another one may succeed."""


class DirectoryService:
    """Calls to one service. `name` (segments, contacts, templates) appears in errors, logs and the
    gauge `campaigns_dependency_down`.

    A call is tried three times within about a second when it fails by network, 429 or 5xx. Five
    failed calls in a row for a tenant open its breaker, and for ten seconds every call for this
    tenant fails at once. Redirects are not followed. Close it with `close`.
    """

    def __init__(self, name: str, url: str, settings: Settings) -> None:
        self.name = name
        headers = {"accept": "application/json"}
        if token := settings.directory_token.get_secret_value():
            headers["authorization"] = f"Bearer {token}"
        timeout = settings.directory_timeout.total_seconds()
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/"), headers=headers, timeout=timeout, follow_redirects=False
        )
        self._breakers = AsyncCircuitBreakerFactory(default_threshold=_FAILURES, default_ttl=_REST)

    async def get(self, answer: type[A], *path: str, **query: str | None) -> A | None:
        """Returns the decoded answer, None for 404. Raises SourceDownError."""
        url = "".join(f"/{quote(part, safe='')}" for part in path)
        return await self._call(
            answer,
            query.get("tenantId") or "",
            "GET",
            url,
            params={name: value for name, value in query.items() if value is not None},
        )

    async def post(self, answer: type[A], path: str, body: Mapping[str, object]) -> A | None:
        """Does the same by POST; the request must be harmless to repeat."""
        return await self._call(
            answer,
            str(body.get("tenantId", "")),
            "POST",
            path,
            content=msgspec.json.encode(body),
            headers={"content-type": "application/json"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(
        self, answer: type[A], tenant: str, method: str, url: str, **request: Any
    ) -> A | None:
        gauge = metrics.DEPENDENCY_DOWN.labels(self.name)
        try:
            async with await self._breakers.get_breaker(f"{self.name} of {tenant}"):
                found = await self._attempts(method, url, **request)
        except (OpenedState, _RepeatableError, SourceDownError) as error:
            gauge.set(1)
            reason = (
                "it has failed repeatedly and is left alone for some seconds"
                if isinstance(error, OpenedState)
                else str(error)
            )
            raise SourceDownError(
                f"The {self.name} service cannot be used: {reason}. Nothing was changed; try again."
            ) from error
        gauge.set(0)
        if found is None:
            return None
        try:
            return msgspec.json.decode(found, type=answer)
        except msgspec.DecodeError as error:
            raise SourceDownError(
                f"The {self.name} service answered what its contract does not allow: {error}."
            ) from error

    async def _attempts(self, method: str, url: str, **request: Any) -> bytes | None:
        async for attempt in stamina.retry_context(
            on=_RepeatableError,
            attempts=_ATTEMPTS,
            timeout=None,
            wait_initial=0.1,
            wait_max=1.0,
            wait_jitter=0.1,
        ):
            with attempt:
                return await self._attempt(method, url, **request)
        raise AssertionError("unreachable: the last attempt raises")

    async def _attempt(self, method: str, url: str, **request: Any) -> bytes | None:
        received = bytearray()
        try:
            async with self._client.stream(method, url, **request) as response:
                if response.status_code == 404:
                    return None
                if response.status_code == 429 or response.status_code >= 500:
                    raise _RepeatableError(f"it answered {response.status_code}")
                if (
                    response.status_code != 200
                ):  # our configuration is wrong: trying again would not help
                    raise SourceDownError(f"it answered {response.status_code}")
                async for piece in response.aiter_bytes():
                    received += piece
                    if len(received) > LARGEST_ANSWER:
                        raise SourceDownError(f"its answer is larger than {LARGEST_ANSWER:,} bytes")
        except httpx.HTTPError as error:
            raise _RepeatableError(type(error).__name__) from error
        return bytes(received)
