"""The values of a contact as a template sees them: mappings and lists whose methods are hidden,
without nulls, and of bounded size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MAX_ELEMENTS = (
    1000  # of all lists and mappings below a contact together: comparing them costs no fuel
)
_CONTAINERS = (dict, list)
_WHOLE = frozenset(
    {"contact", "contact.attributes", "attributes"}
)  # used as a whole: by a loop, an index, another name
_METHODS = frozenset(dir(dict))


class _Hidden:
    """A method that the engine does not find: its name is free for a key, and a missing key is a
    missing variable.
    """

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        raise AttributeError


class Hiding(dict[str, Any]):
    """A mapping whose methods are hidden. `items` exists, because the engine recognises a mapping
    by it, but does nothing.
    """

    __slots__ = ()


class _List(list[Any]):
    """A list whose methods are hidden."""

    __slots__ = ()


def _hide(kind: type, names: Iterable[str]) -> None:
    for name in names:
        if not name.startswith("_"):  # those the engine refuses by itself
            setattr(kind, name, _Hidden())


_hide(Hiding, dir(dict))
Hiding.items = None  # type: ignore[method-assign,assignment]
_hide(_List, dir(list))


class TooManyElementsError(ValueError):
    """The lists and mappings of a contact have more than MAX_ELEMENTS elements."""


def needs_hiding(used: Iterable[str]) -> bool:
    """Whether a template that uses these paths (`contact.attributes.plan`) could see a method of a
    contact or of its attributes.

    Most cannot, and a mapping of ours costs the engine 0.4 us more than a dict for each look-up.
    """
    return any(path in _WHOLE or not _METHODS.isdisjoint(path.split(".")) for path in used)


def without_methods(
    values: Mapping[str, Any], *, make: type[dict[str, Any]] = Hiding
) -> Mapping[str, Any]:
    """Returns a copy for the engine, without nulls at its first two levels (a field, an attribute),
    because a null would be printed as `None`.

    `make` is `dict` for a template that does not need hiding: then only values below an attribute
    lose their methods. `values` are scalars, and `attributes` as JSON has them. Raises
    TooManyElementsError, and RecursionError when they are nested too deep.
    """
    made = make(values)
    if None in values.values():
        _drop_nulls(made, values)
    if attributes := values.get("attributes"):
        made["attributes"] = _attributes(attributes, make)
    return made


def _attributes(values: dict[str, Any], make: type[dict[str, Any]]) -> dict[str, Any]:
    made, elements = make(values), len(values)
    if elements > MAX_ELEMENTS:
        raise TooManyElementsError
    if None in values.values():
        _drop_nulls(made, values)
    for name, value in values.items():
        if value.__class__ in _CONTAINERS:
            made[name], elements = _closed(value, elements)
    return made


def _drop_nulls(made: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if value is None:
            del made[name]


def _closed(value: Any, elements: int) -> tuple[Any, int]:
    """Returns the copy and the number of elements so far; `elements` counts those before it."""
    if value.__class__ not in _CONTAINERS:
        return value, elements
    elements += len(value)
    if elements > MAX_ELEMENTS:
        raise TooManyElementsError
    if value.__class__ is dict:
        mapping = Hiding()
        for name, inner in value.items():
            mapping[name], elements = _closed(inner, elements)
        return mapping, elements
    made_list = _List()
    for inner in value:
        closed, elements = _closed(inner, elements)
        list.append(made_list, closed)
    return made_list, elements
