"""A mailbox that bounces come to, read by IMAP (RFC 9051): a mail is marked as read, and moved
where that is wanted, only when what it says is kept; none is ever deleted.

A tenant names the server, so it is judged as a relay is (`connectors.routes.destinations`), and no
more of what it sends is kept than is asked of it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from aioimaplib.aioimaplib import IMAP4, IMAP4ClientProtocol, quoted

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

# It logs what servers say, mails among it.
logging.getLogger("aioimaplib.aioimaplib").setLevel(logging.CRITICAL + 1)


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
            await client.step("farewell", client.logout())
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
        client = _Client(mailbox, destination, context, patience)
        try:
            await client.step("connection", client.wait_hello_from_server())
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
    login = client.login(quoted(credentials.username), credentials.password)
    await client.step("login", login)
    await client.step("folder", client.select(quoted(mailbox.folder)))
    found = await client.step("search", client.uid_search("UNSEEN", charset=None))
    words = [word for line in found[:1] for word in bytes(line).split()]
    uids = sorted({int(word) for word in words if _UID.fullmatch(word)})[:MOST]
    can_move = client.has_capability("MOVE")
    for uid in uids:
        asked = client.uid("fetch", str(uid), f"(UID BODY.PEEK[]<0.{READ}>)")
        lines = await client.step("fetch", asked)
        raw = next((bytes(line) for line in lines if isinstance(line, bytearray)), None)
        if raw is None:
            continue  # somebody else has moved it meanwhile
        may_move = await take(raw)
        await client.step("mark", client.uid("store", str(uid), r"+FLAGS.SILENT (\Seen)"))
        if may_move and can_move and mailbox.move_to is not None:
            await client.step("move", client.uid("move", str(uid), quoted(mailbox.move_to)))
    return len(uids)


class _Client(IMAP4):  # type: ignore[misc]  # aioimaplib is untyped
    """A client that connects to an address that was judged, not to the name again."""

    def __init__(
        self,
        mailbox: BounceMailbox,
        to: Destination,
        context: ssl.SSLContext | None,
        patience: float,
    ) -> None:
        self._name, self._to, self._context = mailbox.host, to, context
        super().__init__(to.address, to.port, timeout=patience)

    def create_client(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        protocol = self.protocol = _Bounded(loop)
        self._client_task = loop.create_task(
            loop.create_connection(
                lambda: protocol,
                self._to.address,
                self._to.port,
                ssl=self._context,
                server_hostname=self._name if self._context is not None else None,
            )
        )

    async def step(self, name: str, asked: Coroutine[Any, Any, Any]) -> list[Any]:
        """The lines of the answer. Raises MailboxError when it is no OK, or none comes."""
        task = asyncio.ensure_future(asked)
        try:
            await asyncio.wait((task, self.protocol.lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
        if not task.done() or task.cancelled():
            raise MailboxError(f"the server has ended the connection at the {name}")
        # a tenant's server may say anything, and the client raises a dozen kinds for it
        if (error := task.exception()) is not None:
            raise MailboxError(f"the {name} failed ({type(error).__name__})") from None
        answer = task.result()
        if answer is not None and answer.result != "OK":
            raise MailboxError(f"the server refuses the {name}")
        return [] if answer is None else list(answer.lines)

    def drop(self) -> None:
        self._client_task.cancel()
        if self.protocol.transport is not None:
            self.protocol.transport.abort()


class _Bounded(IMAP4ClientProtocol):  # type: ignore[misc]
    """Ends a connection whose server says more than it was asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._said = 0
        self.lost = loop.create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.lost.done():
            self.lost.set_result(None)

    def send(self, line: str, scrub: str | None = None) -> None:
        self._said = 0
        super().send(line, scrub)

    def data_received(self, data: bytes) -> None:
        self._said += len(data)
        if self._said > _MOST_SAID:
            self.transport.abort()
        else:
            super().data_received(data)
