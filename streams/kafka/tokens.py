"""The tokens of OAUTHBEARER: from a file, or from a token endpoint by the client credentials of
OAuth 2.0 (RFC 6749, section 4.4).
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiokafka import conn
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from pydantic import SecretStr

from streams.kafka.access import AccessRefusedError
from streams.settings import Settings
from streams.settings.kafka_access import TOKEN_CLIENT, TOKEN_FILE, TOKEN_SECRET, TOKEN_URL

_TIMEOUT = 10.0  # seconds for one request
_EARLY = 0.2  # of its life: a token with less than this left is replaced before it is used


class Authenticator(conn.OAuthAuthenticator):  # type: ignore[misc]  # aiokafka is untyped
    """aiokafka takes a refused token for an accepted one, and a client then waits for ever: it does
    not look at the server's answer, which is empty unless the token was refused (RFC 7628, 3.2.2).
    """

    async def step(self, payload: bytes | None) -> Any:
        """Raises SaslAuthenticationFailed with what the server says."""
        if payload:
            raise SaslAuthenticationFailed(payload.decode(errors="replace"))
        return await super().step(payload)


conn.OAuthAuthenticator = Authenticator  # every connection of this process makes its own of it


@dataclass(frozen=True)
class Token:
    """`fresh_until` is an instant of the monotonic clock; a token is not used after it."""

    text: str
    fresh_until: float


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """One per process, whose threads and event loops share the token that is still fresh."""

    def __init__(
        self, fetch: Callable[[], Token], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`fetch` blocks. It raises AccessRefusedError or KafkaConnectionError."""
        self._fetch, self._clock, self._lock = fetch, clock, threading.Lock()
        self._token = Token("", float("-inf"))

    async def token(self) -> str:
        """Called by aiokafka for every connection. Raises what `fetch` raises."""
        return await asyncio.to_thread(self._fresh)

    def _fresh(self) -> str:
        with self._lock:
            if self._clock() >= self._token.fresh_until:
                self._token = self._fetch()
            return self._token.text


def tokens(settings: Settings) -> Tokens:
    """The tokens of this process; of one endpoint and client always the same object."""
    if settings.kafka_token_file:
        file = Path(settings.kafka_token_file)
        return Tokens(lambda: _read(file))
    secret, scope = settings.kafka_token_secret, settings.kafka_token_scope
    return _of(Client(settings.kafka_token_url, settings.kafka_token_client, secret, scope))


@dataclass(frozen=True)
class Client:
    """One client of a token endpoint."""

    url: str
    name: str
    secret: SecretStr
    scope: str


@lru_cache(maxsize=4)
def _of(client: Client) -> Tokens:
    return Tokens(lambda: _request(client))


def _read(file: Path) -> Token:
    """A token for one connection: another program may renew the file at any time."""
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AccessRefusedError(f"{TOKEN_FILE}: {file} cannot be read: {error}") from error
    if not text:
        raise AccessRefusedError(f"{TOKEN_FILE}: {file} is empty")
    return Token(text, float("-inf"))


def _request(client: Client) -> Token:
    import httpx  # slow to import, and needed with a token endpoint only

    asked, form = time.monotonic(), {"grant_type": "client_credentials"}
    if client.scope:
        form["scope"] = client.scope
    who, trusted = (client.name, client.secret.get_secret_value()), ssl.create_default_context()
    try:
        answer = httpx.post(client.url, data=form, auth=who, timeout=_TIMEOUT, verify=trusted)
    except httpx.HTTPError as error:
        raise KafkaConnectionError(
            f"{TOKEN_URL}: {client.url} does not answer: {type(error).__name__}: {error}"
        ) from error
    if answer.is_client_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
        raise AccessRefusedError(
            f"{TOKEN_URL}: {client.url} gives no token ({answer.status_code}{_reason(answer)}): "
            f"check {TOKEN_CLIENT} and {TOKEN_SECRET}"
        )
    return _token(client.url, answer, asked)


def _token(url: str, answer: Any, asked: float) -> Token:
    said = _json(answer)
    text, life = said.get("access_token"), said.get("expires_in", 0)
    if not answer.is_success or not isinstance(text, str) or not text:
        raise KafkaConnectionError(f"{TOKEN_URL}: {url} answers {answer.status_code} and no token")
    seconds = float(life) if isinstance(life, int | float | str) and _is_number(life) else 0.0
    return Token(text, asked + seconds * (1 - _EARLY))


def _is_number(value: float | str) -> bool:
    return not isinstance(value, str) or value.isdecimal()


def _reason(answer: Any) -> str:
    """The error code of RFC 6749, section 5.2."""
    code = _json(answer).get("error")
    return f", {code}" if isinstance(code, str) else ""


def _json(answer: Any) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
