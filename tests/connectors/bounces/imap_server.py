"""A server of IMAP on loopback with one folder (RFC 9051), as far as a reader of it goes."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.certificates import Pair
from tests.smtp_server import PASSWORD, USER


@dataclass
class Letter:
    """A mail in a folder."""

    content: bytes
    folder: str = "INBOX"
    is_seen: bool = False


@dataclass
class Mailbox:
    """`letters` by UID; `heard` are the commands without their tags. `can_move`: offers MOVE (RFC
    6851). `refuses`: a command that is answered with NO. `floods`: it never ends its answer.
    """

    letters: dict[int, Letter] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    port: int = 0
    can_move: bool = True
    refuses: str = ""
    floods: bool = False

    def put(self, *contents: bytes) -> None:
        for content in contents:
            self.letters[len(self.letters) + 7] = Letter(content)

    def unseen(self) -> list[int]:
        return [
            uid
            for uid, letter in self.letters.items()
            if letter.folder == "INBOX" and not letter.is_seen
        ]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"* OK IMAP4rev1 ready\r\n")
            while line := await reader.readline():
                tag, _, command = line.decode().strip().partition(" ")
                self.heard.append(command)
                if self.refuses and command.upper().startswith(self.refuses):
                    writer.write(f"{tag} NO secret words of the server\r\n".encode())
                    continue
                for answer in self._answers(command):
                    writer.write(answer + b"\r\n")
                while self.floods and "FETCH" in command.upper():
                    writer.write(b"* 1 FETCH (X " + b"x" * 60_000)
                    await writer.drain()
                writer.write(f"{tag} OK done\r\n".encode())
                await writer.drain()

    def _answers(self, command: str) -> list[bytes]:
        upper = command.upper()
        if upper.startswith("CAPABILITY"):
            return [b"* CAPABILITY IMAP4rev1" + (b" MOVE" if self.can_move else b"")]
        if upper.startswith("SELECT"):
            return [b"* %d EXISTS" % len(self.letters), b"* FLAGS (\\Seen)"]
        if upper.startswith("UID SEARCH"):
            return [" ".join(["* SEARCH", *map(str, self.unseen())]).encode()]
        if found := re.match(r"UID (FETCH|STORE|MOVE) (\d+) (.*)", command, re.IGNORECASE):
            return self._uid(found[1].upper(), int(found[2]), found[3])
        return [b"* BYE"] if upper.startswith("LOGOUT") else []

    def _uid(self, verb: str, uid: int, rest: str) -> list[bytes]:
        letter = self.letters.get(uid)
        if letter is None:
            return []
        if verb == "STORE":
            letter.is_seen |= "\\Seen" in rest
        elif verb == "MOVE":
            letter.folder = rest.strip('"')
        elif part := re.search(r"BODY\.PEEK\[\]<0\.(\d+)>", rest):
            content = letter.content[: int(part[1])]
            head = b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n" % (uid - 6, uid, len(content))
            return [head + content + b")"]
        return []


@asynccontextmanager
async def mailbox(pair: Pair | None = None) -> AsyncIterator[Mailbox]:
    """With a certificate it speaks TLS. Lets in whom the command says."""
    made, context = Mailbox(), None
    if pair is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate, pair.key)
    talks = set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await made.talk(reader, writer)
        finally:
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(talk(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for one in talks:
            one.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


#: The command with which a reader logs in.
LOGIN = f'LOGIN "{USER}" "{PASSWORD}"'
