"""A session with a mail server (RFC 5321): one round trip per mail where the server offers
PIPELINING, and at most one mail whose fate a broken connection leaves in doubt.

RFC 2920 lets the content of one mail and MAIL, RCPT, DATA of the next travel together, so the
server's answer to the first brings the next one's permission.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from connectors.delivery.outcomes import (
    Accepted,
    InDoubt,
    Mail,
    NotTried,
    Outcome,
    Refused,
    Reply,
)
from connectors.delivery.smtp.connection import Connection, SessionError
from connectors.delivery.smtp.replies import ReplyError
from connectors.delivery.smtp.xtext import xtext

# A dot-string or a quoted string, and a domain or an address literal (RFC 5321, 4.1.2; RFC 6531).
_ADDRESS = re.compile(
    r'(?:[^\x00-\x20\x7f<>"@]+|"(?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*")@[^\x00-\x20\x7f<>"@]+'
)


@dataclass(frozen=True)
class Patience:
    """How long each reply is waited for, in seconds: the minima of RFC 5321, section 4.5.3.2."""

    connect: float = 30
    greeting: float = 300
    command: float = 300
    data: float = 120
    content: float = 600
    quit: float = 5


@dataclass(slots=True, eq=False)
class _Try:
    mail: Mail
    outcome: asyncio.Future[Outcome]
    refusal: Reply | None = None

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():  # a caller may have cancelled it
            self.outcome.set_result(outcome)


class Session:
    """A connection to a mail server that takes one mail after the other. From `open_session`."""

    def __init__(self, patience: Patience) -> None:
        self.connection = Connection(self._on_end, patience.greeting)
        self._patience = patience
        self._queue = deque[_Try]()
        self._asked: _Try | None = None  # its MAIL, RCPT or DATA is on the way
        self._sent: _Try | None = None  # its content is
        self._is_begun = False  # whether MAIL was granted and no content followed yet
        self._offers: Mapping[str, str] = MappingProxyType({})
        self._pipelines, self._most = False, 0
        self._drained: asyncio.Future[None] | None = None

    def begin(self, offers: Mapping[str, str]) -> None:
        """Note what the server offers: extension -> its parameters, both in upper case."""
        self._offers, self._pipelines = offers, "PIPELINING" in offers
        size = offers.get("SIZE", "")
        self._most = int(size) if size.isdecimal() and len(size) < 20 else 0

    @property
    def is_open(self) -> bool:
        """Whether the session takes mails."""
        return self.connection.end is None and self._drained is None

    @property
    def pending(self) -> int:
        """How many mails have no outcome yet. Two keep the session busy; a third waits."""
        return len(self._queue) + (self._asked is not None) + (self._sent is not None)

    def offers(self, extension: str) -> bool:
        """Whether the server offers this extension, as `8BITMIME`."""
        return extension in self._offers

    def hand_off(self, mail: Mail) -> asyncio.Future[Outcome]:
        """Give the mail to the server, after those that were handed in before. The outcome always
        comes; cancelling it takes nothing back. Never raises.
        """
        one = _Try(mail, asyncio.get_running_loop().create_future())
        if not self.is_open:
            one.settle(NotTried(self.connection.end or "the session is being closed"))
        elif (refusal := self._foreseen(mail)) is not None:
            one.settle(Refused(refusal, is_from_server=False))
        else:
            self._queue.append(one)
            self._go_on()
        return one.outcome

    async def quit(self) -> None:
        """Take no more mails, wait for the outcomes of those that were handed in, say goodbye. When
        it is cancelled the connection is dropped.
        """
        if not self.is_open:
            return
        self._drained = asyncio.get_running_loop().create_future()
        try:
            if self.pending:
                await self._drained
            with suppress(SessionError):  # closed already, or too slow: nothing depends on it
                await self.connection.command(b"QUIT", self._patience.quit)
        finally:
            self.abort()

    def abort(self, reason: str = "this side closed the connection") -> None:
        """Drop the connection. Every mail gets its outcome."""
        self.connection.abort(reason)

    def _on_end(self, reason: str) -> None:
        if self._sent is not None:
            self._sent.settle(InDoubt(reason))
        if self._asked is not None:
            refusal = self._asked.refusal
            self._asked.settle(Refused(refusal) if refusal else NotTried(reason))
        for one in self._queue:
            one.settle(NotTried(reason))
        self._sent = self._asked = None
        self._queue.clear()
        self._note_drained()

    def _note_drained(self) -> None:
        if self._drained is not None and not self._drained.done() and not self.pending:
            self._drained.set_result(None)

    def _foreseen(self, mail: Mail) -> Reply | None:
        """The refusal that is certain before anything is sent, in the codes of RFC 3463."""
        content = mail.content
        if not _ADDRESS.fullmatch(mail.recipient):
            return Reply(553, "5.1.3 the recipient's address cannot be sent")
        if mail.sender and not _ADDRESS.fullmatch(mail.sender):
            return Reply(553, "5.1.7 the sender's address cannot be sent")
        if _needs_utf8(mail) and "SMTPUTF8" not in self._offers:
            return Reply(553, "5.6.7 the server takes ASCII addresses only")
        if not content.isascii() and "8BITMIME" not in self._offers:
            return Reply(554, "5.6.3 the server takes ASCII only")
        if 0 < self._most < len(content):
            return Reply(552, f"5.3.4 the server takes {self._most:,} bytes at most")
        if not content.count(b"\r") == content.count(b"\r\n") == content.count(b"\n"):
            return Reply(554, "5.6.0 a line does not end with CRLF")  # it could smuggle a mail
        return None

    def _go_on(self) -> None:
        if request := self._next():
            self.connection.write(request)
        self._note_drained()

    def _next(self) -> bytes:
        """The commands for the next waiting mail: all of them, or the first without PIPELINING."""
        is_taken = self._asked is not None or (self._sent is not None and not self._pipelines)
        if is_taken or not self._queue:
            return b""
        one = self._asked = self._queue.popleft()
        expect, patience = self.connection.expect, self._patience
        begin = b""
        if self._is_begun:
            expect(self._on_reset, patience.command)
            begin = b"RSET\r\n"
            if not self._pipelines:
                return begin
        expect(self._on_mail, patience.command)
        if not self._pipelines:
            return self._mail_from(one.mail)
        expect(self._on_recipient, patience.command)
        expect(self._on_data, patience.data)
        return b"%b%b%bDATA\r\n" % (begin, self._mail_from(one.mail), self._rcpt_to(one.mail))

    def _mail_from(self, mail: Mail) -> bytes:
        line = f"MAIL FROM:<{mail.sender}>"
        if "SIZE" in self._offers:
            line += f" SIZE={len(mail.content)}"
        if not mail.content.isascii():
            line += " BODY=8BITMIME"
        if _needs_utf8(mail):
            line += " SMTPUTF8"
        if self._is_reported(mail):
            line += f" RET=HDRS ENVID={xtext(mail.envelope_id)}"
        return f"{line}\r\n".encode()

    def _rcpt_to(self, mail: Mail) -> bytes:
        asked = b" NOTIFY=FAILURE,DELAY" if self._is_reported(mail) else b""
        return b"RCPT TO:<%b>%b\r\n" % (mail.recipient.encode(), asked)

    def _is_reported(self, mail: Mail) -> bool:
        """Whether the server is asked for reports that name the mail (RFC 3461)."""
        return bool(mail.envelope_id) and "DSN" in self._offers

    # Each of these takes the reply to what its name says.

    def _on_reset(self, reply: Reply) -> None:
        if _is_refusal(reply):
            raise ReplyError(f"the server refuses RSET: {reply}")
        self._is_begun = False
        if not self._pipelines and self._asked is not None:
            self.connection.expect(self._on_mail, self._patience.command)
            self.connection.write(self._mail_from(self._asked.mail))

    def _on_mail(self, reply: Reply) -> None:
        one = self._asked
        assert one is not None
        if _is_refusal(reply):
            one.refusal = reply
        else:
            self._is_begun = True
        if self._pipelines:
            return
        if one.refusal is not None:
            self._refuse(one.refusal)
        else:
            self.connection.expect(self._on_recipient, self._patience.command)
            self.connection.write(self._rcpt_to(one.mail))

    def _on_recipient(self, reply: Reply) -> None:
        one = self._asked
        assert one is not None
        if _is_refusal(reply):
            one.refusal = one.refusal or reply
        if self._pipelines:
            return
        if one.refusal is not None:
            self._refuse(one.refusal)
        else:
            self.connection.expect(self._on_data, self._patience.data)
            self.connection.write(b"DATA\r\n")

    def _on_data(self, reply: Reply) -> None:
        one = self._asked
        assert one is not None
        if reply.code != 354:
            if not _is_refusal(reply):
                raise ReplyError(f"DATA is answered with {reply}")
            self._refuse(one.refusal or reply)
            return
        self._is_begun = False
        if one.refusal is not None:  # RFC 2920, section 3.1: then it gets a mail without content
            self.connection.expect(self._on_nothing, self._patience.content)
            self.connection.write(b".\r\n")
            return
        self._asked, self._sent = None, one
        self.connection.expect(self._on_content, self._patience.content)
        self.connection.write(_stuffed(one.mail.content) + self._next())

    def _on_nothing(self, _: Reply) -> None:
        assert self._asked is not None and self._asked.refusal is not None
        self._refuse(self._asked.refusal)

    def _on_content(self, reply: Reply) -> None:
        one = self._sent
        assert one is not None
        outcome = Refused(reply) if _is_refusal(reply) else Accepted(reply)
        self._sent = None
        one.settle(outcome)
        self._go_on()

    def _refuse(self, reply: Reply) -> None:
        one = self._asked
        assert one is not None
        self._asked = None
        one.settle(Refused(reply))
        self._go_on()


def _needs_utf8(mail: Mail) -> bool:
    return mail.needs_utf8 or not (mail.sender.isascii() and mail.recipient.isascii())


def _stuffed(content: bytes) -> bytes:
    """The content as DATA takes it (RFC 5321, section 4.5.2), with what ends it."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    begin = b"." if stuffed.startswith(b".") else b""
    end = b".\r\n" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n.\r\n"
    return b"%b%b%b" % (begin, stuffed, end)


def _is_refusal(reply: Reply) -> bool:
    """Raises ReplyError for a reply that neither grants nor refuses."""
    kind = reply.code // 100
    if kind not in (2, 4, 5):
        raise ReplyError(f"neither yes nor no: {reply}")
    return kind != 2
