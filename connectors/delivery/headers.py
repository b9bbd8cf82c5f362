"""Fields of a mail's header: folded (RFC 5322, section 2.2.3), other characters than ASCII in
encoded words (RFC 2047), and never a line end inside of a value.
"""

from __future__ import annotations

import re
from binascii import b2a_base64

from streams.contracts.values.one_line import folded

_WIDTH = 76  # characters of a line: 78 are recommended, encoded words may have 76
_LONGEST_WORD = 900  # a line has at most 998 octets
_OCTETS = 45  # of UTF-8 in an encoded word, which then has 72 characters of the 75 that it may
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LONGEST_NAME = 60  # characters that fit into a line with quotation marks
_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")


def is_field_name(name: str) -> bool:
    """Whether a field of the header can be called so (RFC 5322, section 2.2)."""
    return _FIELD_NAME.fullmatch(name) is not None


def text_field(name: str, value: str) -> str:
    """Return a field of free text, such as the subject, with its CRLF. A character that would end
    a line becomes a space.
    """
    value = folded(value)
    if _is_plain(value):
        if len(name) + 2 + len(value) <= _WIDTH:
            return f"{name}: {value}\r\n"
        if (lines := _lines(name, value)) is not None:
            return lines
    return f"{name}: {_encoded(value)}\r\n"


def mailbox(name: str, address: str) -> str:
    """Return an address with its display name, as From, To and Reply-To have it. An address that
    is not ASCII stays as it is (RFC 6532).
    """
    name, address = folded(name).strip(), folded(address)
    if not name:
        return address
    if not _is_plain(name) or len(name) > _LONGEST_NAME:
        return f"{_encoded(name)}\r\n <{address}>"
    if not _PLAIN_NAME.fullmatch(name):
        name = '"{}"'.format(name.replace("\\", "\\\\").replace('"', '\\"'))
    between = " " if len(name) + len(address) <= _LONGEST_NAME else "\r\n "
    return f"{name}{between}<{address}>"


def _is_plain(text: str) -> bool:
    """Whether readers show the text as it is: ASCII, nothing like an encoded word, no white space
    that some of them take away when they unfold it.
    """
    is_spaced = text[:1] == " " or text[-1:] == " " or "  " in text
    return text.isascii() and "=?" not in text and not is_spaced


def _lines(name: str, value: str) -> str | None:
    """The field folded before words; None when a word is too long for a line."""
    done, line = "", (begin := f"{name}:")
    for word in value.split(" "):
        if len(word) > _LONGEST_WORD:
            return None
        if len(line) + 1 + len(word) > _WIDTH and line != begin:
            done, line = f"{done}{line}\r\n", ""
        line = f"{line} {word}"
    return f"{done}{line}\r\n"


def _encoded(text: str) -> str:
    """Encoded words, each of whole characters and on a line of its own."""
    octets, words = text.encode("utf-8", "replace"), list[str]()
    start = 0
    while start < len(octets):
        end = min(start + _OCTETS, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:  # the middle of a character
            end -= 1
        word = b2a_base64(octets[start:end], newline=False).decode()
        words.append(f"=?utf-8?B?{word}?=")
        start = end
    return "\r\n ".join(words)
