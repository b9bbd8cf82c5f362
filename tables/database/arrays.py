"""Many values in one parameter: the statement is the same, prepared once, however many they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import ARRAY, ColumnElement, any_, literal
from sqlalchemy.orm import InstrumentedAttribute

T = TypeVar("T")


def among(column: InstrumentedAttribute[T], values: Iterable[T]) -> ColumnElement[bool]:
    """The condition that the column holds one of the values."""
    return column == any_(literal(list(values), ARRAY(column.type)))
