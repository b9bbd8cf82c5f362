"""The findings in one piece of HTML: attributes, places for an image, texts and tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Value:
    """A value of an attribute, `[start, stop)` of the source, inside its quotes."""

    start: int
    stop: int
    quote: str
    tag: str
    attribute: str


class Run(NamedTuple):
    """Text between two tags, `[start, stop)` of the source."""

    start: int
    stop: int


class Element(NamedTuple):
    """A tag of an element that began at `start`."""

    name: str
    is_end: bool
    start: int


@dataclass(frozen=True)
class Found:
    """The findings in one piece of text, read from one state.

    `values` with the place of their tag. `clear`: positions where an image would be loaded;
    `ends` and `begins`: those before `</body>` and behind `<body>`. `shown`: texts and tags that
    are no comment for Outlook, in their order.
    """

    values: dict[Value, int]
    clear: list[int]
    ends: list[int]
    begins: list[int]
    shown: list[Run | Element]
