"""What somebody types into a search box, as a pattern of LIKE."""

from __future__ import annotations


def beginning(text: str | None) -> str | None:
    """Matches what begins with the text; None when there is nothing to look for. An index with
    text_pattern_ops can find it.
    """
    return None if not text else escaped(text) + "%"


def containing(text: str | None) -> str | None:
    """Matches what has the text in it; None when there is nothing to look for."""
    return None if not text else "%" + escaped(text) + "%"


def escaped(text: str) -> str:
    """The text taken literally; PostgreSQL knows no NUL."""
    return text.replace("\0", "").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
