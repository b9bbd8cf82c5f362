"""The one rule for texts of one line: names, subjects, senders, reasons, rendered headers.

Not part of such a text are the control characters (Unicode category Cc) and the line and paragraph
separators U+2028 and U+2029: the characters that end a line (Unicode UAX #14, classes BK, CR, LF,
NL) are all among them, and a header of an email must not hold a control character (RFC 5322, 3.2.3
and 2.2). Every other character is text: joiners (ZWJ, ZWNJ), which are spelling in Persian, Hindi
and Sinhala and join emoji, no-break and other spaces, marks of direction.
"""

from __future__ import annotations

import re
import unicodedata

_BREAK = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_one_line(text: str) -> bool:
    """Whether the text holds no control character and no line or paragraph separator."""
    # isprintable is 10 times as fast, but false for more than these characters
    return text.isprintable() or _BREAK.search(text) is None


def one_line(text: str) -> str:
    """The text itself. Raises ValueError when it is not one line."""
    if not is_one_line(text):
        raise ValueError("must be one line without control characters")
    return text


def folded(text: str) -> str:
    """The text with a space in place of each character that a text of one line cannot have."""
    return text if is_one_line(text) else _BREAK.sub(" ", text)


def composed(text: str) -> str:
    """The text in Unicode's normal form C (UAX #15), so that two spellings of the same characters,
    as of macOS and of Windows, are equal. It may be longer than the text.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)
