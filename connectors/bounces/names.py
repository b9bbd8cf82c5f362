"""The messages that a mail may be about: by the address that it came to, by what the report calls
them, and by the header of the message that came back. None of them is verified here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message

from connectors.bounces.mails import READ, Mail, fields, header_in, text_of
from connectors.bounces.verp import ID, ids_in
from connectors.delivery.smtp.xtext import decoded

_MOST = 10  # ids of a text
# As servers note the address of the envelope, the most reliable ones first.
_TO = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To", "To")
_MESSAGES = ("message/rfc822", "message/global", "message/rfc822-headers", "message/global-headers")
_MESSAGE_ID = re.compile(rf"<({ID})@", re.IGNORECASE | re.ASCII)
_ALONE = re.compile(rf"<?({ID})(?:@.*)?>?", re.IGNORECASE | re.ASCII)
_SAID = re.compile(rf"(?:<|\bb\.)({ID})@".encode(), re.IGNORECASE)


def to(mail: Mail, recipient: str = "") -> Iterator[str]:
    """By the address that the mail came to."""
    for text in (recipient, *fields(mail.header, *_TO)):
        yield from ids_in(text)


def returned(mail: Mail, *named: str) -> Iterator[str]:
    """By what the report calls it, by the returned header, and by what the mail is an answer to."""
    for name in named:
        text = decoded(name)
        if found := _ALONE.fullmatch(text):
            yield found[1].lower()
        yield from ids_in(text)
    for header in _returned(mail):
        yield from _of_header(header, "Message-ID", "X-Original-Message-ID")
        for value in fields(header, "Return-Path"):
            yield from ids_in(value)
    yield from _of_header(mail.header, "In-Reply-To", "References")


def said_in(raw: bytes) -> Iterator[str]:
    """By whatever stands in the mail, as servers write that put the message into their text."""
    for found in list(_SAID.finditer(raw[:READ]))[:_MOST]:
        yield found[1].decode().lower()


def _of_header(header: Message, *names: str) -> Iterator[str]:
    for value in fields(header, *names):
        for found in _MESSAGE_ID.findall(value)[:_MOST]:
            yield found.lower()


def _returned(mail: Mail) -> Iterator[Message]:
    for part in mail.parts:
        payload = part.message.get_payload()
        if part.kind == "text/rfc822-headers":
            yield header_in(text_of(part.message))
        elif part.kind in _MESSAGES and isinstance(payload, list):
            yield from (one for one in payload[:1] if isinstance(one, Message))
