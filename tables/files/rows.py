"""The fates of a row besides being used: rejected, blank, or used without one of its fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that did not go in, and the reason, which names field and rule, never a value."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A field that was left out of a row that is used otherwise: the file's name for the column
    (None = of no column), and the reason as of `Rejected`.
    """

    line: int
    column: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Blank:
    """A row without any content."""

    line: int
