"""A raw mail from anybody, as far as it is worth reading: the header, and the parts that are not
inside of a message that it carries.

Bounded, whatever was sent: of a large mail the begin alone is parsed, where RFC 3462 has the report
in front of the returned message, and one that nests like none of a mail server is no mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser, HeaderParser
from email.policy import compat32

#: Bytes of a mail that are read.
READ = 128 << 10
_MOST_NESTED = 40  # parts that may hold others; the parser goes down in as many calls
_MOST_PARTS, _DEEPEST = 40, 6
_MOST_BLOCKS = 2_000  # empty lines in a row would each be a block of a report, a message of its own
_LONGEST_VALUE = 4_000  # characters of a field
_HOLDS_OTHERS = re.compile(rb"multipart/|message/", re.IGNORECASE)
_BLOCK = re.compile(rb"\n\r?\n")


@dataclass(frozen=True)
class Part:
    """A part that holds no others, or a message that is carried: its type in lower case."""

    kind: str
    message: Message


class Mail:
    """The header and the parts of a mail; no method raises."""

    def __init__(self, header: Message, parts: tuple[Part, ...] = ()) -> None:
        self.header, self.parts = header, parts

    def first(self, *kinds: str) -> Part | None:
        """The first part of one of these types."""
        return next((part for part in self.parts if part.kind in kinds), None)

    def text(self) -> str:
        """The plain text, of all parts that are such a text."""
        return "\n".join(text_of(part.message) for part in self.parts if part.kind == "text/plain")


def parsed(raw: bytes) -> Mail:
    """Parse a mail; one that cannot be parsed has neither fields nor parts. Never raises."""
    raw = raw[:READ]
    if len(_HOLDS_OTHERS.findall(raw)) > _MOST_NESTED or len(_BLOCK.findall(raw)) > _MOST_BLOCKS:
        return Mail(Message(compat32))
    try:
        found = BytesParser(policy=compat32).parsebytes(raw)
        return Mail(found, tuple(_parts(found)))
    # the parser raises a dozen kinds for what its authors did not think of
    except Exception:  # noqa: BLE001
        return Mail(Message(compat32))


def fields(message: Message, *names: str) -> Iterator[str]:
    """The values of all fields of these names, each on one line; bytes that are not ASCII are read
    as UTF-8 (RFC 6532).
    """
    for name in names:
        wanted = name.lower()
        for called, value in message.raw_items():
            if called.lower() == wanted:
                octets = str(value)[:_LONGEST_VALUE].encode("utf-8", "surrogateescape")
                yield " ".join(octets.decode("utf-8", "replace").split())


def field(message: Message, name: str) -> str:
    """The first of `fields`; empty without one."""
    return next(fields(message, name), "")


def text_of(message: Message) -> str:
    """The text of a part, with its encoding undone as far as it is one."""
    content = message.get_payload(decode=True)
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""


def header_in(text: str) -> Message:
    """The fields that a text begins with."""
    return HeaderParser(policy=compat32).parsestr(text)


def blocks(report: Message) -> list[Message]:
    """The groups of fields of a report (RFC 3464, section 2.1), without the empty ones; also of one
    that is encoded, against the rules.
    """
    payload = report.get_payload()
    found = (
        [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []
    )
    if found and not any(one.keys() for one in found):
        encoded = Message(compat32)
        encoded["Content-Transfer-Encoding"] = field(report, "Content-Transfer-Encoding")
        encoded.set_payload("\n".join(str(one.get_payload()) for one in found))
        groups = re.split(r"\n[ \t]*\n", text_of(encoded).replace("\r\n", "\n"))
        found = [header_in(group) for group in groups]
    return [one for one in found if one.keys()]


def _parts(message: Message, depth: int = 0) -> Iterator[Part]:
    kind = message.get_content_type()
    inner = message.get_payload()
    if kind.startswith("multipart/") and isinstance(inner, list) and depth < _DEEPEST:
        for one in inner[:_MOST_PARTS]:
            if isinstance(one, Message):
                yield from _parts(one, depth + 1)
    else:
        yield Part(kind, message)
