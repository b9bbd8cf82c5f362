"""Connections of the HTTP server: how many there are, and how long each may take to ask and to
listen.

uvicorn limits requests (`limit_concurrency`) and idle connections (`timeout_keep_alive`), but
waits for the head of a request, and for a reader of an answer, for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.limits.addresses import Addresses
from streams import metrics
from streams.settings import Settings

HEAD_SECONDS = 15.0  # from a connection, or the first byte of a request, to the end of its head
MAX_HEAD = 64 << 10  # bytes
STUCK_SECONDS = 60.0  # that a caller may leave an answer unread
#: One address has at most a quarter of the connections, unless it is a trusted proxy.
SHARE = 4
_BARE = (
    b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n"
    b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n%s\r\n"
)
_BUSY = _BARE % (b"503 Service Unavailable", b"retry-after: 5\r\n")
_TOO_SLOW = _BARE % (b"408 Request Timeout", b"")
_MALFORMED = _BARE % (b"400 Bad Request", b"")
_TOO_LARGE = _BARE % (b"431 Request Header Fields Too Large", b"")


class Crowd:
    """The connections that are open, by address: at most `most` in all."""

    def __init__(self, settings: Settings) -> None:
        self.most = settings.api_connections
        self._is_trusted = Addresses(settings).is_trusted
        self._of = Counter[str]()

    def enter(self, address: str) -> bool:
        """Counts a connection. Returns whether there was room for it."""
        self._of[address] += 1
        if self._of.total() > self.most:
            return False
        share = max(1, self.most // SHARE)
        return self._of[address] <= share or self._is_trusted(address)

    def leave(self, address: str) -> None:
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]


class Connection(HttpToolsProtocol):
    """One connection. Requests and answers are uvicorn's; this adds the limits of the module."""

    crowd: Crowd  # of the class that `limited` makes
    head_seconds, stuck_seconds = HEAD_SECONDS, STUCK_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._in_head, self._head = True, 0
        self._address = self.client[0] if self.client else ""
        if self.crowd.enter(self._address):
            self._start("head", self.head_seconds, self._head_is_late)
        else:
            metrics.CONNECTIONS_REFUSED.inc()
            self._refuse(_BUSY)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.crowd.leave(self._address)
        for name in list(self._timers):
            self._stop(name)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head += len(data)
            self._start("head", self.head_seconds, self._head_is_late)
        super().data_received(data)
        if self._in_head and self._head > MAX_HEAD:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        self._start("head", self.head_seconds, self._head_is_late)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._head = False, 0
        self._stop("head")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._start("end", self.stuck_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("reader", self.stuck_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop("reader")

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to what is no HTTP, with our headers and without a body."""
        self._refuse(_MALFORMED)

    def _start(self, name: str, seconds: float, then: Callable[[], Any]) -> None:
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(seconds, then)

    def _stop(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def _head_is_late(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        self._refuse(_TOO_SLOW if self._head and not is_answering else b"")

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
            self._start("end", self.stuck_seconds, self.transport.abort)


def limited(
    settings: Settings, head_seconds: float = HEAD_SECONDS, stuck_seconds: float = STUCK_SECONDS
) -> type[Connection]:
    """The protocol of one server; its connections are counted together."""
    limits = {"head_seconds": head_seconds, "stuck_seconds": stuck_seconds}
    return type("LimitedConnection", (Connection,), {"crowd": Crowd(settings), **limits})
