"""Filters that write a value for readers: dates, numbers and shortened texts. English names, UTC;
their results are never longer than a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from inspect import signature
from typing import Any

_LONGEST = 10_000  # characters that a text may be shortened to
_MOST_DECIMALS = 10
_SHOWN = 80  # characters of a value in an error
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
# the arguments of the filters: what they are, and how an error says so
_KINDS: Mapping[str, tuple[type, str]] = {
    "form": (str, "a text such as '%d.%m.%Y'"),
    "decimals": (int, "a whole number"),
    "point": (str, "a text"),
    "group": (str, "a text"),
    "length": (int, "a whole number"),
    "killwords": (bool, "true or false"),
    "end": (str, "a text"),
}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_DIRECTIVES: Mapping[str, Callable[[datetime], str]] = {
    "Y": lambda at: f"{at.year:04}",
    "y": lambda at: f"{at.year % 100:02}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "e": lambda at: str(at.day),
    "H": lambda at: f"{at.hour:02}",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "B": lambda at: _MONTHS[at.month - 1],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "A": lambda at: _DAYS[at.weekday()],
    "a": lambda at: _DAYS[at.weekday()][:3],
    "%": lambda _: "%",
}


class UnusableValueError(ValueError):
    """A value that a filter or comparison cannot use. `line` of the template, when it is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def shown(value: Any) -> str:
    """A value as an error names it: a part of one that is long."""
    written = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"


def formats() -> dict[str, Callable[..., str]]:
    """The filters by name; an argument that they cannot take is named in an UnusableValueError."""
    made: dict[str, Callable[..., str]] = {
        "date": written_date,
        "number": written_number,
        "truncate": shortened,
    }
    return {name: _explaining(name, one) for name, one in made.items()}


def _explaining(name: str, made: Callable[..., str]) -> Callable[..., str]:
    def filtered(*values: Any, **named: Any) -> str:
        try:
            return made(*values, **named)
        except TypeError:
            raise UnusableValueError(f"`{name}`: {_wrong(made, values, named)}") from None

    return filtered


def _wrong(made: Callable[..., str], values: tuple[Any, ...], named: Mapping[str, Any]) -> str:
    """The first argument that the filter cannot take."""
    try:
        given = signature(made).bind(*values, **named).arguments
    except TypeError as error:
        return str(error)
    for argument, value in given.items():
        kind, rule = _KINDS.get(argument, (object, ""))
        is_number = kind is int and isinstance(value, bool)
        if not isinstance(value, kind) or is_number:
            return f"{argument} is {shown(value)}, and must be {rule}"
    return f"it cannot take {shown(values[0])}"


def written_date(value: Any, form: str = "%Y-%m-%d") -> str:
    """A date or an instant of ISO 8601, as text, in the form of strftime: %Y %y %m %d %e %H %M %S
    %B %b %A %a %%. An instant with an offset is written in UTC. Raises UnusableValueError.
    """
    try:
        at = _instant(str(value).strip())
    except (ValueError, OverflowError):  # in UTC, it may be in a year that does not exist
        raise UnusableValueError(f"{shown(value)} is no date such as 2026-01-28") from None
    if len(form) > 100:
        raise UnusableValueError("the form of a date has at most 100 characters")

    def written(found: re.Match[str]) -> str:
        if (write := _DIRECTIVES.get(found[1])) is None:
            raise UnusableValueError(f"there is no `{found.group()}` in the form of a date")
        return write(at)

    return _DIRECTIVE.sub(written, form)


def _instant(text: str) -> datetime:
    if len(text) <= len("2026-01-28"):
        return datetime.combine(date.fromisoformat(text), datetime.min.time())
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is None else at.astimezone(UTC)


def written_number(
    value: Any, decimals: int | None = None, point: str = ".", group: str = ","
) -> str:
    """A number, or a text that spells one, rounded half up to `decimals` places, its digits in
    groups of three. Raises UnusableValueError.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise UnusableValueError(f"{shown(value)} is no number")
    if decimals is not None and not 0 <= decimals <= _MOST_DECIMALS:
        raise UnusableValueError(f"a number has 0 to {_MOST_DECIMALS} decimals")
    if max(len(point), len(group)) > 3:
        raise UnusableValueError("a decimal point or separator has at most 3 characters")
    try:
        exact = Decimal(str(value))
        if decimals is not None:
            exact = exact.quantize(Decimal(1).scaleb(-decimals), rounding="ROUND_HALF_UP")
        text = f"{exact:,f}"
    except (InvalidOperation, ValueError):  # not finite, or more digits than are exact
        raise UnusableValueError(f"{shown(value)} is no number that can be written") from None
    whole, dot, fraction = text.partition(".")
    return whole.replace(",", group) + (point + fraction if dot else "")


def shortened(value: Any, length: int = 255, killwords: bool = False, end: str = "...") -> str:
    """The text, cut to `length` characters with `end` when it is longer: between words, unless
    `killwords`.
    """
    if value is None:
        raise UnusableValueError("a missing value cannot be shortened")
    text = "".join([value]) if isinstance(value, str) else str(value)
    if not len(end) <= length <= _LONGEST or len(end) > 100:
        raise UnusableValueError(f"a text is shortened to {len(end)} to {_LONGEST:,} characters")
    if len(text) <= length:
        return text
    cut = text[: length - len(end)]
    return (cut if killwords else cut.rpartition(" ")[0] or cut) + end
