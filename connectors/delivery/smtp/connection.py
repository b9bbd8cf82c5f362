"""One connection to a mail server: commands out, replies in, a limit on time and size for each."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

from connectors.delivery.outcomes import Reply
from connectors.delivery.smtp.replies import ReplyError, ReplyReader

_GOODBYE = 421  # the server ends the session, whatever was asked


class SessionError(Exception):
    """The mail server cannot be used: not reached, not trusted, or it refuses the session.

    `reply` is its last word, None where it said nothing.
    """

    def __init__(self, reason: str, reply: Reply | None = None) -> None:
        super().__init__(f"{reason}: {reply}" if reply else reason)
        self.reply = reply


class Connection(asyncio.Protocol):
    """Gives every reply to whoever expects it, in the order of the commands.

    It ends once, by `abort`, by the server, by an expected reply that is late and by anything that
    is no reply: then `on_end` is called with the reason.
    """

    def __init__(self, on_end: Callable[[str], None], greeting_seconds: float) -> None:
        self._loop, self._on_end = asyncio.get_running_loop(), on_end
        self._greeting_seconds = greeting_seconds
        self._reader = ReplyReader()
        self._transport: asyncio.Transport | None = None
        # what takes the next replies, and how many seconds each is waited for
        self._expected = deque[tuple[Callable[[Reply], None], float]]()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        # of `command`, and the greeting; None when the connection ended before
        self._answer: asyncio.Future[Reply | None] = self._loop.create_future()
        #: Why the connection is over; None while it is not.
        self.end: str | None = None

    def write(self, request: bytes) -> None:
        """Send what `expect` was told of before or will be told of next."""
        if self._transport is not None:
            self._transport.write(request)

    def expect(self, take: Callable[[Reply], None], seconds: float) -> None:
        """Call `take` with the next reply that nobody else expects. When it raises ReplyError the
        connection ends.
        """
        self._expected.append((take, seconds))
        if len(self._expected) == 1:
            self._wait(seconds)

    async def greeting(self) -> Reply:
        """Wait for the first reply. Raises SessionError."""
        return await self._answered()

    async def command(self, line: bytes, seconds: float) -> Reply:
        """Send a line and wait for the reply. Raises SessionError."""
        self._ask(seconds)
        self.write(line + b"\r\n")
        return await self._answered()

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        """Send STARTTLS and secure the connection. `host` is the name in the certificate. Raises
        SessionError.
        """
        # What arrives with the reply was said by whoever can write on the way (RFC 3207, section
        # 6) and ends the connection; what arrives later is not read before TLS reads it.
        self._ask(seconds, is_last=True)
        self.write(b"STARTTLS\r\n")
        reply = await self._answered()
        if reply.code != 220:
            raise SessionError("the server refuses STARTTLS", reply)
        self._raise_ended()
        assert self._transport is not None
        try:
            async with asyncio.timeout(seconds):
                secured = await self._loop.start_tls(
                    self._transport, self, context, server_hostname=host
                )
        except OSError as error:  # TimeoutError and ssl.SSLError are among them
            raise SessionError(f"no TLS with {host}: {said(error)}") from error
        self._raise_ended()
        assert secured is not None
        self._transport = secured

    def abort(self, reason: str) -> None:
        """Drop the connection; what was written may not arrive."""
        if self.end is None:
            self.end = reason
            self._expected.clear()
            if self._timer is not None:
                self._timer.cancel()
            if not self._answer.done():
                self._answer.set_result(None)
            self._on_end(reason)
        if self._transport is not None:
            self._transport.abort()

    def _ask(self, seconds: float, *, is_last: bool = False) -> None:
        self._raise_ended()
        answer = self._answer = self._loop.create_future()

        def take(reply: Reply) -> None:
            if is_last:
                if self._transport is not None:
                    self._transport.pause_reading()
                if not self._reader.is_empty:
                    raise ReplyError("the server says more before TLS than it was asked")
            if not answer.done():  # its caller was cancelled
                answer.set_result(reply)

        self.expect(take, seconds)

    async def _answered(self) -> Reply:
        if (reply := await self._answer) is None:
            raise SessionError(self.end or "")
        return reply

    def _raise_ended(self) -> None:
        if self.end is not None:
            raise SessionError(self.end)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no instance of it
        self._ask(self._greeting_seconds)  # which can arrive before anything else is done

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._reader.feed(data):
                if not self._expected:
                    raise ReplyError(f"the server says without being asked: {reply}")
                take, _ = self._expected.popleft()
                if self._expected:
                    self._wait(self._expected[0][1])
                take(reply)
                if reply.code == _GOODBYE:
                    self.abort(f"the server ends the session: {reply}")
                if self.end is not None:
                    return
            if self._reader.error is not None:
                raise self._reader.error
        except ReplyError as error:
            self.abort(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        self.abort(said(error) if error else "the server closed the connection")
        self._transport = None

    def _wait(self, seconds: float) -> None:
        """The next reply is due. The timer is moved when it rings, not for every reply."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._expected:
            if self._loop.time() >= self._deadline:
                self.abort(f"no reply within {self._expected[0][1]:g} s")
            else:
                self._timer = self._loop.call_at(self._deadline, self._ring)


def said(error: BaseException) -> str:
    """Return the words of an error, its name when it has none."""
    return str(error) or type(error).__name__
