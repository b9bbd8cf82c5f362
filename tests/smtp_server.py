"""A relay on loopback (aiosmtpd), and servers there that only say what a test tells them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.certificates import Pair

USER, PASSWORD = "ana", "correct horse"


@dataclass
class Relay:
    """`logins` are the pairs of name and password that were tried, `inbox` has recipient and
    content of what was handed over, and `senders` the envelope's of each; `connections` counts all
    that came. `answer` is said to a recipient, and `answers` afterwards to the content of a mail.
    Where `resets` says so the mail is taken, and the connection is gone before the answer.
    """

    answer: Callable[[str], str] = lambda recipient: "250 OK"
    answers: Callable[[str], Awaitable[str]] | None = None
    resets: Callable[[str], bool] = lambda recipient: False
    inbox: list[tuple[str, bytes]] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    port: int = 0
    logins: list[tuple[str, str]] = field(default_factory=list)
    connections: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        recipient = envelope.rcpt_tos[0]
        self.inbox.append((recipient, envelope.content))
        self.senders.append(envelope.mail_from or "")
        if self.resets(recipient):
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return await self.answers(recipient) if self.answers is not None else "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        said = self.answer(address)
        if said.startswith("2"):
            envelope.rcpt_tos.append(address)
        return said

    @property
    def mails(self) -> int:
        return len(self.inbox)

    def ids(self) -> list[str]:
        """The Message-ID of each mail."""
        return [str(message_from_bytes(content)["Message-ID"]) for _, content in self.inbox]

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        pair = (given.login.decode(), given.password.decode())
        self.logins.append(pair)
        return AuthResult(success=pair == (USER, PASSWORD), handled=False)


@asynccontextmanager
async def relay(tls: str = "none", pair: Pair | None = None) -> AsyncIterator[Relay]:
    """Speaks TLS as a route's `tls` says, with this certificate, and lets in USER with PASSWORD;
    where it has STARTTLS only behind it.
    """
    made, context = Relay(), None
    if pair is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)

    def session() -> SMTP:
        made.connections += 1
        return SMTP(
            made,
            hostname="relay.example",
            tls_context=context if tls == "starttls" else None,
            authenticator=made.authenticate,
            auth_require_tls=tls == "starttls",
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", 0, ssl=context if tls == "tls" else None
    )
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@asynccontextmanager
async def saying(*replies: bytes, ends: bool = True) -> AsyncIterator[int]:
    """The port of a server that says the first of these at once, and one more for each line that it
    hears; then it `ends` the connection, or says nothing more.
    """

    talks = set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for place, reply in enumerate(replies):
                if place and not await reader.readline():
                    break
                writer.write(reply)
                await writer.drain()
            if not ends:
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in talks:
            one.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
