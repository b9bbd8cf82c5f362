"""The two sides of a comparison, and what the engine is given in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_ORDERED: Mapping[str, str] = {"<": "_lt", "<=": "_le", ">": "_gt", ">=": "_ge"}
SIGNS = ("==", "!=", *_ORDERED)


class Kind(Enum):
    """The kind of one side of a comparison."""

    NUMBER = "a number, as it is written"
    CONSTANT = "a text that is no number, a list or a word for a value, as they are written"
    PATH = "a variable, or a part of one"
    OTHER = "anything else"


@dataclass(frozen=True)
class Operand:
    """One side, rewritten."""

    text: str
    kind: Kind
    has_number: bool = False  # in a list


def comparison(left: Operand, word: str, right: Operand, line: int) -> str:
    """Writes a comparison that a missing value makes false; `line` is named in its error."""
    a, b = left.text, right.text
    if word in ("not in", "!="):
        return f"(not {comparison(left, 'in' if word == 'not in' else '==', right, line)})"
    if word == "in":
        if right.has_number:
            return f"(({a})|_in({b}))"
        return f"(({a}) is in({b if right.kind is Kind.CONSTANT else f'({b})|default([])'}))"
    if word == "==":
        if left.kind is Kind.CONSTANT or left.kind is Kind.NUMBER:
            left, right, a, b = right, left, b, a
        if right.kind is Kind.CONSTANT:
            return f"(({a}) is equalto({b}))"
        if right.kind is Kind.NUMBER and left.kind is Kind.PATH:
            return f"({a} is equalto({b}) or {a} is string and {a}|_eq({b}))"
        return f"(({a})|_eq(({b})|default(none)))"
    compare = _ORDERED[word]
    if right.kind is Kind.NUMBER and left.kind is Kind.PATH:
        return f"({a} {word} {b} if {a} is number else {a}|{compare}({b}, {line}))"
    return f"(({a})|{compare}(({b})|default(none), {line}))"
