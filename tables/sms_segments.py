"""How many parts an SMS has, which is what it costs: 3GPP TS 23.038 (alphabets) and TS 23.040
(concatenation).
"""

from __future__ import annotations

import re
from typing import NamedTuple

# 3GPP TS 23.038, section 6.2.1: the default alphabet, without the escape.
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "\f^{}\\[~]|€"  # section 6.2.1.1: the escape and one more, so two septets each
_GSM = re.compile(f"[{re.escape(_BASIC + _EXTENSION)}]*")
_TWICE = re.compile(f"[{re.escape(_EXTENSION)}]")
# In one message, and in each of several, where TS 23.040 takes six octets for the header that joins
# them.
_GSM_ROOM, _UCS_ROOM = (160, 153), (70, 67)


class Segments(NamedTuple):
    """`units` are septets of GSM-7 or 16-bit units of UCS-2; `left`: how many more cost nothing."""

    encoding: str
    units: int
    parts: int
    left: int


def segments(text: str) -> Segments:
    """The segments that a text takes; an empty one takes none. One character outside of GSM-7 makes
    all of it UCS-2.

    An escape pair of GSM-7 and a surrogate pair of UCS-2 are never divided, so a segment can end
    with a unit unused.
    """
    is_gsm = _GSM.fullmatch(text) is not None
    units = (
        len(text) + len(_TWICE.findall(text))
        if is_gsm
        else len(text.encode("utf-16-le", "surrogatepass")) // 2
    )
    encoding, (alone, joined) = ("GSM-7", _GSM_ROOM) if is_gsm else ("UCS-2", _UCS_ROOM)
    if units <= alone:
        return Segments(encoding, units, min(units, 1), alone - units)
    widths = (2 if (char in _EXTENSION if is_gsm else char > "\uffff") else 1 for char in text)
    parts, used = 1, 0
    for width in widths:
        if used + width > joined:
            parts, used = parts + 1, 0
        used += width
    return Segments(encoding, units, parts, joined - used)
