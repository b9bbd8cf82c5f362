"""A mailbox that bounces come to, read by IMAP (RFC 9051): a mail is marked as read, and moved
where that is wanted, only when what it says is kept; none is ever deleted.

A tenant names the server, so it is judged as a relay is (`connectors.routes.destinations`), and no
more of what it sends is kept than is asked of it.
"""

from __future__ import annotations

import asyncio
import imaplib
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from connectors.bounces.mails import READ
from connectors.routes.destinations import Destination, NoWayError, destinations
from connectors.routes.login import tls_context
from streams.contracts.routes import BounceMailbox
from streams.errors import CampaignError, Fate
from streams.settings import Settings
from tables.tenants.routes import Credentials

MOST = 500  # mails of one visit; the rest is there the next time
_PATIENCE = 30.0  # seconds for one answer
_MOST_SAID = 4 << 20  # bytes of one answer; the ids of half a million mails
_UID = re.compile(rb"[1-9][0-9]{0,9}")

#: Keeps what a mail says, and tells whether it may be moved away. Raises an error when it is not
#: kept.
Take = Callable[[bytes], Awaitable[bool]]


class MailboxError(CampaignError):
    """The mailbox that bounces come to cannot be read: the text says at which step, without what
    the server has said.
    """

    fate, status, code, title = Fate.RETRY, 503, "mailbox", "The mailbox cannot be read"


async def visit(
    settings: Settings,
    mailbox: BounceMailbox,
    credentials: Credentials,
    take: Take,
    patience: float = _PATIENCE,
) -> int:
    """Read what is new, the oldest first, and return how many mails that were. `patience`: seconds
    for each answer.

    Raises MailboxError, and what `take` raises: that mail and those after it stay unread.
    """
    try:
        async with asyncio.timeout(patience):
            to = await destinations(settings, mailbox)
        context = None if mailbox.tls == "none" else tls_context(settings)
    except (NoWayError, TimeoutError) as error:
        raise MailboxError(f"{mailbox.host} {error or 'has no address now'}") from None
    client = await _connected(mailbox, to, context, patience)
    try:
        count = await _read(client, mailbox, credentials, take)
        with suppress(MailboxError):  # nothing depends on it
            await client.step("farewell", client.logout)
        return count
    finally:
        client.drop()


async def _connected(
    mailbox: BounceMailbox,
    to: list[Destination],
    context: ssl.SSLContext | None,
    patience: float,
) -> _Client:
    """A client at the first address that answers. Raises MailboxError."""
    failure = MailboxError(f"{mailbox.host} has no address")
    for destination in to:
        client = _Client(mailbox.host, destination, context, patience)
        try:
            await client.step("connection", client.connect)
        except MailboxError as error:
            client.drop()
            failure = error
        except BaseException:
            client.drop()
            raise
        else:
            return client
    raise failure


async def _read(
    client: _Client, mailbox: BounceMailbox, credentials: Credentials, take: Take
) -> int:
    name, password = _quoted(credentials.username), credentials.password
    await client.step("login", client.login, name, password)
    await client.step("folder", client.select, _quoted(mailbox.folder))
    found = await client.step("search", client.uid, "SEARCH", "UNSEEN")
    words = [word for line in found if line for word in line.split()]
    uids = sorted({int(word) for word in words if _UID.fullmatch(word)})[:MOST]
    for uid in map(str, uids):
        lines = await client.step("fetch", client.uid, "FETCH", uid, f"(BODY.PEEK[]<0.{READ}>)")
        raw = next((line[1] for line in lines if isinstance(line, tuple)), None)
        if raw is None:
            continue  # somebody else has moved it meanwhile
        may_move = await take(raw)
        await client.step("mark", client.uid, "STORE", uid, "+FLAGS.SILENT", r"(\Seen)")
        if may_move and "MOVE" in client.capabilities and mailbox.move_to is not None:
            await client.step("move", client.uid, "MOVE", uid, _quoted(mailbox.move_to))
    return len(uids)


def _quoted(text: str) -> str:
    """A quoted string (RFC 9051, section 4.3)."""
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'


class _Client(imaplib.IMAP4):
    """A client that connects to an address that was judged, not to the name again; each step is
    taken in a thread. It ends when the server says more in one step than it was asked for.
    """

    def __init__(
        self, name: str, to: Destination, context: ssl.SSLContext | None, patience: float
    ) -> None:
        """Connects nowhere yet."""
        self._name, self._to, self._context, self._patience = name, to, context, patience
        self._said = 0
        self._wire: socket.socket | None = None

    def connect(self) -> tuple[str, list[Any]]:
        """Connect, and hear the greeting."""
        super().__init__(self._name, self._to.port, self._patience)
        return "OK", []

    def _create_socket(self, timeout: float | None) -> socket.socket:
        wire = self._wire = socket.create_connection((self._to.address, self._to.port), timeout)
        if self._context is not None:
            wire = self._wire = self._context.wrap_socket(wire, server_hostname=self._name)
        return wire

    def read(self, size: int) -> bytes:
        """The bytes of a literal. Raises IMAP4.abort when they are too many."""
        self._count(size)
        return super().read(size)

    def readline(self) -> bytes:
        """A line. Raises IMAP4.abort after too many."""
        line = super().readline()
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self._said += size
        if size < 0 or self._said > _MOST_SAID:
            raise self.abort("the server says too much")

    async def step(
        self, name: str, asked: Callable[..., tuple[str, list[Any]]], *words: str
    ) -> list[Any]:
        """The data of the answer. Raises MailboxError when it is no OK, or none comes."""
        self._said = 0
        try:
            result, data = await asyncio.to_thread(asked, *words)
        except Exception as error:  # noqa: BLE001  # a tenant's server may say anything
            # the text may have what the server has said
            raise MailboxError(f"the {name} failed ({type(error).__name__})") from None
        if result not in {"OK", "BYE"}:
            raise MailboxError(f"the server refuses the {name}")
        return data

    def drop(self) -> None:
        """End the connection, and so the step that waits for it."""
        if self._wire is not None:
            with suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)
            self._wire.close()
            if (lines := getattr(self, "file", None)) is not None:  # once it is connected
                lines.close()
