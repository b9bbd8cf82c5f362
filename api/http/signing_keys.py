"""The public keys of a token issuer (JWKS, RFC 7517): fetched when first needed, kept, and fetched
again without being asked too often.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt

from streams.errors import DependencyDownError, UnauthorizedError

# Pinned: what a token's header says decides nothing (RFC 8725, section 3.1). All three are
# asymmetric, so a public key signs nothing.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
_TIMEOUT = 5.0  # seconds for one fetch
_KEPT = 600.0  # seconds after which keys are fetched again, so that a withdrawn one stops working
_PAUSE = 60.0  # seconds between two fetches at least, whatever key ids callers make up
_FIRST_PAUSE = 1.0  # the same while there is no key at all
_NEVER = float("-inf")
_log = logging.getLogger(__name__)


class SigningKeys:
    """Keys by their id. A fetch that fails keeps the keys of the last good one; only one request at
    a time waits for it.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock, self._lock = url, clock, asyncio.Lock()
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched = self._tried = _NEVER

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Raises UnauthorizedError when the issuer has no such key, DependencyDownError when it
        could not be asked.
        """
        if self._is_due(key_id) and not (key_id in self._keys and self._lock.locked()):
            async with self._lock:
                if self._is_due(key_id):
                    await self._fetch()
        if key_id in self._keys:
            return self._keys[key_id]
        if self._tried > self._fetched:
            raise DependencyDownError("The keys of the token issuer cannot be fetched; try again.")
        raise UnauthorizedError("The issuer does not publish the key that the token names.")

    async def close(self) -> None:
        await self._client.aclose()

    def _is_due(self, key_id: str) -> bool:
        now = self._clock()
        if now - self._tried < (_PAUSE if self._keys else _FIRST_PAUSE):
            return False
        return key_id not in self._keys or now - self._fetched >= _KEPT

    async def _fetch(self) -> None:
        self._tried = self._clock()
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._client.get(self._url)
            found = usable(answer.raise_for_status().json())
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
            _log.warning(
                "the keys of the token issuer cannot be fetched",
                extra={"error": type(error).__name__},
            )
            return
        if found:
            self._keys, self._fetched = found, self._tried
        else:
            _log.warning("the token issuer publishes no key that can be used")


def usable(document: Any) -> dict[str, jwt.PyJWK]:
    """The signing keys of a JWKS document that have an id, one of our algorithms, and a length that
    is safe. The others are left out.
    """
    found = {}
    listed = document.get("keys") if isinstance(document, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        try:
            key = jwt.PyJWK(entry)
            is_weak = key.Algorithm.check_key_length(key.key)
        except (jwt.InvalidTokenError, jwt.PyJWTError, AttributeError, TypeError, ValueError):
            continue
        if (
            key.key_id
            and key.algorithm_name in ALGORITHMS
            and key.public_key_use in (None, "sig")
            and not is_weak
        ):
            found[str(key.key_id)] = key
    return found
