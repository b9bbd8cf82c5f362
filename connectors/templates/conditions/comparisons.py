"""Comparisons of a template's values: a text that spells a plain decimal number is compared with
numbers as one, because everything that a CSV file brings is a text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from connectors.templates.language.formats import UnusableValueError, shown

_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_ORDERS: Mapping[str, tuple[Callable[[Any, Any], bool], tuple[str, ...]]] = {
    "_lt": (operator.lt, ("lt", "lessthan", "<")),
    "_le": (operator.le, ("le", "<=")),
    "_gt": (operator.gt, ("gt", "greaterthan", ">")),
    "_ge": (operator.ge, ("ge", ">=")),
}


class NotComparableError(UnusableValueError):
    """Two values that have no order: a text that is no number, and a number."""


def filters() -> dict[str, Callable[..., Any]]:
    """The filters that `expressions` writes into conditions; no author can name them."""
    return {
        **{name: _ordering(order) for name, (order, _) in _ORDERS.items()},
        "_eq": equal,
        "_in": _is_in,
        "_sortable": sortable,
    }


def tests() -> dict[str, Callable[..., bool]]:
    """The engine's tests that compare, by the same rules."""
    made = {name: _ordering(order) for order, names in _ORDERS.values() for name in names}
    return {**made, "eq": equal, "==": equal, "ne": _differ, "!=": _differ}


def _ordering(order: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def compare(left: Any, right: Any, line: int | None = None) -> bool:
        if left is None or right is None:
            return False  # missing
        a, b = _alike(left, right)
        try:
            if isinstance(a, str) == isinstance(b, str):
                return order(a, b)
        except TypeError:
            pass
        raise NotComparableError(f"{shown(left)} cannot be compared with {shown(right)}", line)

    return compare


def equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False  # missing
    a, b = _alike(left, right)
    return bool(a == b)


def _differ(left: Any, right: Any) -> bool:
    return not equal(left, right)


def _is_in(value: Any, values: Any) -> bool:
    return value is not None and any(equal(value, one) for one in values)


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Two numbers, when one is a number and the other a text that spells one."""
    if isinstance(left, str) and _is_number(right):
        return _number(left), right
    if isinstance(right, str) and _is_number(left):
        return left, _number(right)
    return left, right


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> Any:
    """The number that a text spells, else the text."""
    if len(text) > 300 or not _DECIMAL.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)


def sortable(values: Any, attribute: str | None = None) -> Any:
    """The elements as they are, or as numbers where texts that spell numbers are among numbers.
    Raises NotComparableError for other texts among numbers.
    """
    if not isinstance(values, list | tuple) or not isinstance(attribute, str | None):
        return values
    keys = [_part(value, attribute) for value in values]
    numbers = [key for key in keys if _is_number(key)]
    if not numbers or len(numbers) == len(keys):
        return values
    made = [_number(key) if isinstance(key, str) else key for key in keys]
    for key in made:
        if isinstance(key, str):
            raise NotComparableError(f"{shown(key)} cannot be compared with {shown(numbers[0])}")
    if attribute is not None and any(isinstance(key, str) for key in keys):
        raise NotComparableError(f"{attribute} is a text in some elements, a number in others")
    return made if attribute is None else values


def _part(value: Any, attribute: str | None) -> Any:
    for name in attribute.split(".") if attribute else ():
        value = dict.get(value, name) if isinstance(value, dict) else None
    return value
