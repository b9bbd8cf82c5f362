"""Tracebacks that quote no row and no parameter: PostgreSQL's errors name the key, the row or the
value that was wrong, and so a person.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

_DRIVERS = ("psycopg", "sqlalchemy")
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def told(error: BaseException | None) -> str:
    """As Python prints it, causes first and without the last line's end; of a database driver's
    error only what `_sentence` leaves.
    """
    return "".join(_chain(error, set())).rstrip("\n") if error is not None else ""


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    cause, context = error.__cause__, None if error.__suppress_context__ else error.__context__
    if (before := cause or context) is not None and id(before) not in seen:
        yield from _chain(before, seen)
        yield _CAUSE if cause is not None else _CONTEXT
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    yield _sentence(error)
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if id(each) not in seen:
            yield "\nOne of the group:\n"
            yield from _chain(each, seen)


def _sentence(error: BaseException) -> str:
    """Class, SQLSTATE and the first line: DETAIL and CONTEXT below it hold rows. Where a value
    itself is wrong the line quotes it, too.
    """
    kind = type(error)
    if kind.__module__.partition(".")[0] not in _DRIVERS:
        return "".join(traceback.format_exception_only(error))
    cause = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's error
    state = getattr(cause, "sqlstate", None) or ""
    is_about_a_value = state.startswith("22") or type(cause).__name__ == "DataError"
    line = "" if is_about_a_value else str(error).partition("\n")[0]
    return " ".join(filter(None, (f"{kind.__module__}.{kind.__qualname__}:", state, line))) + "\n"
