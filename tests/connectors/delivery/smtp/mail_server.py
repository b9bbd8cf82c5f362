"""A mail server that says what a test tells it to say, on loopback."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from connectors.delivery.outcomes import Mail
from connectors.delivery.smtp.opening import Relay
from connectors.delivery.smtp.session import Patience

OFFERS = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8")
PATIENT = Patience(connect=300, greeting=300, command=300, data=300, content=300, quit=300)
#: For a server that stays silent when it is to speak.
SOON = 0.3  # seconds
MAIL = Mail("news@acme.example", "ana@example.com", b"Subject: x\r\n\r\nHello\r\n")


def mail(number: int) -> Mail:
    """A mail that can be told from others."""
    return MAIL._replace(content=b"Subject: %d\r\n\r\nHello\r\n" % number)


@dataclass
class Client:
    """The client as the server sees it. `heard` are its lines, `contents` what it sent after DATA,
    stuffed as it came, `offers` what it was offered.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    offers: tuple[str, ...] = ()

    async def tell(self, *lines: str) -> None:
        """Each line gets its CRLF; all go in one piece."""
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()

    async def tell_in_pieces(self, text: str) -> None:
        """Byte by byte."""
        for byte in text.encode():
            self.writer.write(bytes([byte]))
            await self.writer.drain()
            await asyncio.sleep(0)

    async def hear(self) -> str:
        line = (await self.reader.readuntil(b"\r\n"))[:-2].decode()
        self.heard.append(line)
        return line

    async def hear_content(self) -> bytes:
        content = b""
        while not content.endswith(b"\r\n.\r\n") and content != b".\r\n":
            content += await self.reader.readuntil(b"\r\n")
        self.contents.append(content)
        return content

    async def greet(self, *offers: str) -> None:
        """Greeting and EHLO, as servers do it."""
        self.offers = offers or OFFERS
        await self.tell("220 mx.example ESMTP")
        await self.hear()
        words = ("mx.example", *self.offers)
        await self.tell(*(f"250-{word}" for word in words[:-1]), f"250 {words[-1]}")

    async def take_request(self) -> None:
        """MAIL, RCPT and DATA in one group, as they are asked with PIPELINING."""
        while await self.hear() != "DATA":
            pass

    async def grant(self) -> None:
        """Take a request and grant it."""
        await self.take_request()
        await self.tell("250 2.1.0 Ok", "250 2.1.5 Ok", "354 Go on")

    async def stay(self) -> None:
        """Say nothing more; until the client closes."""
        while await self.reader.read(65_536):
            pass

    def reset(self) -> None:
        """Drop the connection with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Client], Awaitable[None]]


@dataclass
class MailServer:
    """`clients` are those that came, in order."""

    port: int = 0
    clients: list[Client] = field(default_factory=list)

    def relay(self, patience: Patience = PATIENT, **others: object) -> Relay:
        made = {"tls": "none", **others}
        return Relay("127.0.0.1", self.port, "client.example", patience=patience, **made)  # type: ignore[arg-type]


@asynccontextmanager
async def mail_server(script: Script) -> AsyncIterator[MailServer]:
    """Plays the script with each client, then closes the connection. A client that goes away ends
    its script; anything else that goes wrong in it is raised at the end.
    """
    server, failures, tasks = MailServer(), list[BaseException](), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(reader, writer)
        server.clients.append(client)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await script(client)
        except Exception as failure:  # noqa: BLE001  # raised where the test can see it
            failures.append(failure)
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        if tasks:
            await asyncio.wait(tasks, timeout=60)
    if failures:
        raise failures[0]
