"""The parts of a hand-off: a mail, the reply of a server, and four outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Mail(NamedTuple):
    """A mail to one recipient: `content` are the lines of RFC 5322, each ended by CRLF, without
    the stuffing of dots. `sender` is the envelope's, empty for the null reverse-path; domains are
    in ASCII.
    """

    sender: str
    recipient: str
    content: bytes
    #: Whether an address in the header is not ASCII (RFC 6531).
    needs_utf8: bool = False
    #: The name by which reports about the mail call it, where the server offers DSN (RFC 3461): at
    #: most 100 printable characters of ASCII.
    envelope_id: str = ""


class Reply(NamedTuple):
    """A reply of a server (RFC 5321, section 4.2): its lines without the code, joined by LF."""

    code: int
    text: str

    def __str__(self) -> str:
        return " ".join((str(self.code), *self.text.split()))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server answered for the mail (2xx after the final dot)."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Refused:
    """A reply (4xx, 5xx) refused the mail: the server does not have it.

    Without `is_from_server` no server said so: the session knew from what the server offers that
    it would, and spells the reply as a server does.
    """

    reply: Reply
    is_from_server: bool = True


@dataclass(frozen=True, slots=True)
class NotTried:
    """The session ended before anything of the mail's content was sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The session ended when the content had been sent and no reply had come: the server may or
    may not have the mail (RFC 1047).
    """

    reason: str


Outcome = Accepted | Refused | NotTried | InDoubt
