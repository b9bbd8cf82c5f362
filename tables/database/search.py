"""The text of a search box, as a pattern of LIKE and as a condition."""

from __future__ import annotations

from sqlalchemy import ColumnElement, collate
from sqlalchemy.orm import InstrumentedAttribute

from streams.contracts.values.one_line import composed


def has_text(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """The condition that the text is in the column, whatever the case of its letters, also in a
    database with the locale C.
    """
    return has_pattern(column, containing(text))


def has_pattern(column: InstrumentedAttribute[str], pattern: object) -> ColumnElement[bool]:
    """`has_text` for a pattern of `containing`, or for the parameter that will hold it."""
    return collate(column, "pg_c_utf8").ilike(pattern)


def containing(text: str) -> str:
    """The pattern of LIKE for values that the text is a part of."""
    return f"%{_escaped(text)}%"


def beginning(text: str | None) -> str | None:
    """The pattern of LIKE for values that begin with the text; None when there is nothing to look
    for. An index with text_pattern_ops can find it.
    """
    return None if not text else _escaped(text) + "%"


def _escaped(text: str) -> str:
    """The text taken literally, in the normal form of names; PostgreSQL knows no NUL."""
    text = composed(text)
    return text.replace("\0", "").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
