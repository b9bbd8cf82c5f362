"""Values of parameters of MAIL and RCPT that may have any printable character (RFC 3461,
section 4).
"""

from __future__ import annotations

import re

_LONGEST = 100  # characters of ENVID before they are encoded (RFC 3461, section 4.4)
_ENCODED = re.compile(r"[^!-*,-<>-~]")
_HEX = re.compile(r"\+([0-9A-F]{2})")


def xtext(text: str) -> str:
    """Encode a text. Raises ValueError for one that is longer than ENVID may be, or has characters
    that are not printable ASCII.
    """
    if len(text) > _LONGEST or not (text.isascii() and text.isprintable()):
        raise ValueError("no value of a parameter")
    return _ENCODED.sub(lambda found: f"+{ord(found[0]):02X}", text)


def decoded(text: str) -> str:
    """The opposite of `xtext`; what is no code stays as it is."""
    return _HEX.sub(lambda found: chr(int(found[1], 16)), text)
