"""The words by which a recipient's own message asks for no more messages, as far as carriers agreed
on them. The text is used here and nowhere else.
"""

from __future__ import annotations

import re

# CTIA, Messaging Principles and Best Practices (2023), section 5.1.3.1, and the words of 47 CFR
# 64.1200(a)(10) in force since April 2025.
_STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
_LONGEST = 40  # characters; a longer text is a sentence that happens to hold the word


def is_stop(text: str) -> bool:
    """Whether the whole message is one of these words; case, spaces and punctuation do
    not matter.
    """
    return len(text) <= _LONGEST and re.sub(r"[^A-Z]", "", text.upper()) in _STOP and text.isascii()
