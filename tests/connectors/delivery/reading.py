"""A mail as Python's `email` reads it."""

from __future__ import annotations

import email
import email.policy
import re
from email.message import EmailMessage


def read(content: bytes) -> EmailMessage:
    """As Python reads it; a defect of the mail is an error."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    defects = [found for part in mail.walk() for found in part.defects]
    assert defects == []
    return mail


def part(content: bytes, kind: str) -> str | None:
    """The text of the part `text/<kind>`, with LF; None without such a part."""
    for found in read(content).walk():
        if found.get_content_type() == f"text/{kind}":
            octets = found.get_payload(decode=True)
            assert isinstance(octets, bytes)
            return octets.decode().replace("\r\n", "\n")
    return None


def check_form(content: bytes) -> None:
    """What RFC 5322, section 2.1.1, and RFC 2045 ask of every line, of every mail."""
    assert content.endswith(b"\r\n")
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", content) is None
    assert max(map(len, content.split(b"\r\n"))) <= 998
    header, _, _ = content.partition(b"\r\n\r\n")
    for line in header.split(b"\r\n"):
        assert line.strip(b" \t"), "a line of white space alone"
        assert re.match(rb"[!-9;-~]+: |[ \t]", line), line
