"""JSON of providers, read by one rule: a member that is null, missing or of another type than the
one asked for is absent.

Serialisers of many languages write null for a value that they do not have, and providers add and
change members. So a reader asks for what it needs, and nothing else can spoil an event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from streams.errors import CampaignError

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SECONDS = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
# A sample of AWS spells a time `2018-10-08T14:05:45 +0000`.
_BEFORE_OFFSET = re.compile(r"\s+(?=[+-][0-9])")
_LONGEST_TIME = 60  # characters


class UnparsableError(CampaignError):
    """The webhook is not in the provider's format."""

    status, code, title = 400, "unparsable", "The webhook cannot be parsed"


class Form:
    """A JSON object. Every method answers with an empty value for a member that is absent."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members

    def __repr__(self) -> str:
        return f"Form({len(self._members)} members)"  # which hold addresses and signatures

    def text(self, name: str) -> str:
        """A text; the empty one when it is absent."""
        value = self._members.get(name)
        return value if isinstance(value, str) else ""

    def spelled(self, name: str) -> str:
        """A text, or a whole number as text: some providers write codes and times as either."""
        value = self._members.get(name)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return str(value) if is_number else self.text(name)

    def is_true(self, name: str) -> bool:
        return self._members.get(name) is True

    def form(self, name: str) -> Form:
        value = self._members.get(name)
        return Form(value) if isinstance(value, dict) else Form({})

    def forms(self, name: str) -> list[Form]:
        """The objects of a list; what is no object is left out. An object alone is a list of
        one.
        """
        return [Form(one) for one in self.items(name) if isinstance(one, dict)]

    def texts(self, name: str) -> list[str]:
        """The texts of a list; a text alone is a list of one."""
        return [one for one in self.items(name) if isinstance(one, str)]

    def has(self, name: str) -> bool:
        return self._members.get(name) is not None

    def at(self, *names: str) -> datetime | None:
        """The first of these members that is an instant."""
        found = (instant(self._members.get(name)) for name in names)
        return next((one for one in found if one is not None), None)

    def encoded(self) -> bytes:
        """The object as JSON again, its members in one order."""
        return msgspec.json.encode(self._members, order="sorted")

    def items(self, name: str) -> Sequence[Any]:
        """The members of a list; anything else is a list of one."""
        value = self._members.get(name)
        if value is None:
            return ()
        return value if isinstance(value, list) else [value]


def parsed(body: bytes | str) -> Any:
    """Decodes JSON. Raises UnparsableError."""
    try:
        return msgspec.json.decode(body)
    except _UNREADABLE as error:
        raise UnparsableError("The body is not JSON in the provider's format.") from error


def form(body: bytes | str) -> Form:
    """Decodes a JSON object. Raises UnparsableError."""
    found = parsed(body)
    if not isinstance(found, dict):
        raise UnparsableError("The body is not JSON in the provider's format.")
    return Form(found)


def elements(body: bytes | str) -> list[Any]:
    """Splits a batch: the members of an array; anything else is one element. Raises
    UnparsableError.
    """
    found = parsed(body)
    return found if isinstance(found, list) else [found]


def instant(value: object) -> datetime | None:
    """Reads Unix seconds, a number or its text, or ISO 8601 with an offset; None for anything
    else, and for what no calendar can hold in UTC.
    """
    try:
        if isinstance(value, str):
            value = value.strip()
            if len(value) > _LONGEST_TIME:
                return None
            if not _SECONDS.fullmatch(value):
                read = datetime.fromisoformat(_BEFORE_OFFSET.sub("", value))
                return None if read.tzinfo is None else read.astimezone(UTC)
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None
