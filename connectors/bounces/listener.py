"""A server that takes bounces by SMTP (RFC 5321): for addresses that name a message of ours, and
for no other, so nobody can fill it with mail.

It says 250 only when the mail's event is kept; until then the mail is the sender's, who tries again
(RFC 5321, section 6.1). It speaks no TLS and knows no logins: a mail server in front has both, and
forwards. Sessions, mails and mistakes of one address are limited, and so is the size of a mail.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from connectors.bounces.verp import parts

_MINUTE = 60.0
_SITE = 64  # bits of an IPv6 address that one subscriber has (RFC 6177)


@dataclass(frozen=True)
class Bounds:
    """The most that is taken: `size` in bytes of a mail, larger than any of ours that comes back
    whole; `patience` in seconds for the next line.
    """

    size: int = 4 << 20
    sessions: int = 50
    sessions_of_one: int = 10
    mails_of_one: int = 600  # in a minute
    mistakes_of_one: int = 60  # in a minute
    addresses: int = 10_000  # that are remembered
    patience: float = 60.0
    longest: float = 600.0  # seconds of a session in all


#: Whether a message id was made for a tenant with this domain for bounces; None while that is not
#: known yet.
Judge = Callable[[str, str], bool | None]
#: Keeps what the mail to this address says. Raises an error when it is not kept.
Take = Callable[[bytes, str], Awaitable[None]]


@asynccontextmanager
async def listening(
    host: str, port: int, name: str, judge: Judge, take: Take, bounds: Bounds | None = None
) -> AsyncIterator[int]:
    """Listen within the block, and yield the port. More processes may listen on one port. Raises
    OSError.
    """
    bounds = bounds or Bounds()
    gate, handler = _Gate(bounds), _Handler(judge, take, bounds)
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return _Session(
            handler,
            gate,
            hostname=name,
            ident="campaigns",
            data_size_limit=bounds.size,
            timeout=bounds.patience,
            command_call_limit={"RCPT": 1_000, "MAIL": 1_000, "RSET": 1_000, "*": 20},
            loop=loop,
        )

    server = await loop.create_server(session, host, port, reuse_port=True)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        gate.close()


class _Handler:
    """The answers to MAIL, RCPT and DATA, as aiosmtpd asks for them."""

    def __init__(self, judge: Judge, take: Take, bounds: Bounds) -> None:
        self._judge, self._take = judge, take
        self._mails = _Minutes(bounds.mails_of_one, bounds.addresses)
        self._mistakes = _Minutes(bounds.mistakes_of_one, bounds.addresses)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        who = _subscriber(session.peer)
        if self._mistakes.is_full(who) or self._mails.is_full(who):
            return "450 4.7.1 Too much from your address, try again in a minute"
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time"
        named = parts(address)
        is_ours = False if named is None else self._judge(*named)
        if is_ours is None:
            return "451 4.3.0 Try again in a minute"
        if not is_ours:
            self._mistakes.count(who)
            return "550 5.1.1 Only bounces of our messages are taken"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self._mails.count(_subscriber(session.peer))
        content = envelope.content
        raw = content.encode("utf-8", "replace") if isinstance(content, str) else content or b""
        try:
            await self._take(raw, envelope.rcpt_tos[0])
        # whatever it is, the mail is not kept, and its sender has to know
        except Exception:  # noqa: BLE001
            return "451 4.3.0 Not kept, try again"
        return "250 2.0.0 Kept"

    async def handle_VRFY(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str
    ) -> str:
        return "502 5.5.1 Not implemented"

    async def handle_exception(self, error: Exception) -> str:
        return "451 4.3.0 Error"


class _Session(SMTP):
    """A session, unless there are too many."""

    def __init__(self, handler: _Handler, gate: _Gate, **others: Any) -> None:
        super().__init__(handler, **others)
        self._gate, self._who = gate, ""
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        who = _subscriber(transport.get_extra_info("peername"))
        if not self._gate.enter(who, transport):
            transport.write(b"421 4.3.2 Too many sessions, try again later\r\n")
            transport.close()
            return
        self._who = who
        self._end = self.loop.call_later(self._gate.longest, transport.abort)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._who:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self._who else False

    def connection_lost(self, error: Exception | None) -> None:
        if self._who:
            transport = self.transport
            super().connection_lost(error)
            self._gate.leave(self._who, transport)
        if self._end is not None:
            self._end.cancel()


class _Gate:
    """Counts open sessions, in all and by address."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self.longest = bounds, bounds.longest
        self._open = dict[str, set[Any]]()

    def enter(self, who: str, transport: asyncio.Transport) -> bool:
        own = self._open.get(who, set())
        every = sum(map(len, self._open.values()))
        if every >= self._bounds.sessions or len(own) >= self._bounds.sessions_of_one:
            return False
        self._open[who] = own | {transport}
        return True

    def leave(self, who: str, transport: object) -> None:
        own = self._open.get(who, set()) - {transport}
        if own:
            self._open[who] = own
        else:
            self._open.pop(who, None)

    def close(self) -> None:
        for transports in list(self._open.values()):
            for transport in transports:
                transport.abort()


class _Minutes:
    """Counts by name, in windows of a minute; of too many names the oldest is forgotten."""

    def __init__(self, most: int, names: int) -> None:
        self._most, self._names = most, names
        self._counted = OrderedDict[str, tuple[float, int]]()

    def is_full(self, name: str) -> bool:
        until, count = self._counted.get(name, (0.0, 0))
        return count >= self._most and until > time.monotonic()

    def count(self, name: str) -> None:
        now = time.monotonic()
        until, count = self._counted.pop(name, (0.0, 0))
        self._counted[name] = (until, count + 1) if until > now else (now + _MINUTE, 1)
        if len(self._counted) > self._names:
            self._counted.popitem(last=False)


def _subscriber(peer: Any) -> str:
    """The name under which an address is counted: of IPv6 its network of 64 bits."""
    try:
        address = ip_address(str(peer[0]).partition("%")[0])
    except (ValueError, TypeError, IndexError):
        return "unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((address, _SITE), strict=False))
    return str(address)
