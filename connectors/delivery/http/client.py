"""One client for each route: connections that are kept, as many as the route allows, and limits on
time and size, whatever the server does.

It connects only to addresses that `connectors.routes.destinations` lets it, follows no redirect,
keeps no cookie and unpacks nothing. No text that it makes quotes the URL, the request or a header.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from connectors.delivery.http.exchange import JSON, Answer, Request
from connectors.delivery.outcomes import InDoubt, NotTried
from connectors.routes.destinations import NoWayError, destinations, refused
from connectors.routes.login import tls_context
from streams.contracts.routes import HttpRoute
from streams.settings import Settings

#: Bytes of an answer: a thousand results of a batch are less.
MOST_READ = 1 << 20
#: Reasons for which nothing was handed over.
NO_CERTIFICATE = "has no certificate that is valid for this name"
NO_TLS = "does not speak TLS like this"
# Shorter than servers keep a connection (Node.js: 5 s): a request in one that is just being closed
# is in doubt.
_KEPT = 4.0
_HEADERS = {"User-Agent": "campaigns", "Accept": JSON, "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Patience:
    """Seconds for a connection, for an answer to a request, and then for the answer's body."""

    connect: float = 10.0
    answer: float = 60.0
    body: float = 10.0


_PATIENCE = Patience()


class _Resolver(AbstractResolver):
    """Names have the addresses that the route may lead to."""

    def __init__(self, settings: Settings, route: HttpRoute) -> None:
        self._settings, self._route = settings, route

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises NoWayError."""
        return [
            ResolveResult(
                hostname=host,
                host=one.address,
                port=one.port,
                family=socket.AF_INET6 if ":" in one.address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for one in await destinations(self._settings, self._route)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Client:
    """The connections of a route. Made in a running loop; `close` ends it."""

    def __init__(
        self, settings: Settings, route: HttpRoute, patience: Patience = _PATIENCE
    ) -> None:
        self._settings, self._route, self._patience = settings, route, patience
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def send(self, request: Request) -> Answer | NotTried | InDoubt:
        """The answer to a request. `InDoubt` where the request may have reached the server, and no
        answer came. Raises no error of the server or of the way there.
        """
        began = SimpleNamespace(is_sent=False)
        try:
            session = self._opened()
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers=_HEADERS | dict(request.headers),
                allow_redirects=False,
                trace_request_ctx=began,
            ) as response:
                return await _read(response, self._patience.body)
        except NoWayError as error:
            return NotTried(str(error))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            why = _words(error, self._patience)
            return InDoubt(why) if began.is_sent else NotTried(why)

    async def close(self) -> None:
        """Drop all connections: what is on its way there has its answer now."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """Raises NoWayError."""
        if self._is_closed:
            raise NoWayError("is not asked any more: this side closed the connections.")
        # a name is judged when it is looked up; an address in the URL is never looked up
        for refusal in refused(self._settings, self._route):
            raise NoWayError(f"{refusal.message}.")
        if self._session is None:
            connect, answer = self._patience.connect, self._patience.answer
            timeout = aiohttp.ClientTimeout(connect + answer, connect, answer, connect)
            connector = aiohttp.TCPConnector(
                limit=0,  # whoever sends keeps to the route's limit, and does not wait here
                ssl=tls_context(self._settings),
                resolver=_Resolver(self._settings, self._route),
                keepalive_timeout=_KEPT,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[_tracing()],
            )
        return self._session


def _tracing() -> aiohttp.TraceConfig:
    async def sent(session: object, context: SimpleNamespace, parameters: object) -> None:
        context.trace_request_ctx.is_sent = True

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(sent)
    return tracing


async def _read(response: aiohttp.ClientResponse, seconds: float) -> Answer:
    """The answer with the beginning of its body: without the rest the status says enough."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while len(body) < MOST_READ and (
                piece := await response.content.read(MOST_READ - len(body))
            ):
                body += piece
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        pass
    if not response.content.at_eof():
        response.close()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, bytes(body))


def _words(error: Any, patience: Patience) -> str:
    """The error in words of this side."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return NO_CERTIFICATE
        case aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return NO_TLS
        case aiohttp.ConnectionTimeoutError():
            return f"took no connection within {patience.connect:g} s"
        case TimeoutError():
            return f"did not answer within {patience.answer:g} s"
        case aiohttp.ServerDisconnectedError():
            return "ended the connection without an answer"
        case aiohttp.ClientResponseError():
            return "did not answer in HTTP"
        case OSError():
            return f"is not reached ({error.strerror or type(error).__name__})"
        case _:
            return f"did not answer ({type(error).__name__})"
