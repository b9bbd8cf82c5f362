"""A template cut into text, prints and blocks, as the engine's lexer cuts it.

The text of a piece is what the engine outputs: `{%-` takes the white space before it away. A raw
block is text that cannot be changed, a comment is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from connectors.templates.language.nesting import END_RAW, RAW, tags

# what the engine trims: White_Space of Unicode
_WHITE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_WORD = re.compile(r"\{%[-+]?\s*(\w*)")
_ASSIGNMENT = re.compile(r"\{%[-+]?\s*set\b[^=|]*=")
_KEPT_AS = re.compile(r"\{%[-+]?\s*set\s+(\w+)\s*(\|)?")


@dataclass(frozen=True)
class Text:
    """Text between two tags, `[start, stop)` of the source. `is_raw` text is not changed."""

    start: int
    stop: int
    is_raw: bool = False


@dataclass(frozen=True)
class Tag:
    """A tag that prints a value, or sets a name and prints nothing."""

    start: int
    stop: int


@dataclass
class Block:
    """A block with its branches: `if`, `for`, `set`, `with` or `filter`.

    Without `has_else` it may be that no branch of an `if` or `for` is rendered. `name` is what a
    `set` block keeps its text as, `is_filtered` when a filter changes that text first.
    """

    word: str
    branches: list[list[Text | Tag | Block]] = field(default_factory=lambda: [[]])
    has_else: bool = False
    name: str | None = None
    is_filtered: bool = False


Nodes = list[Text | Tag | Block]


def parse(source: str) -> Nodes:
    """Returns the pieces of a source that the engine compiles."""
    nodes: Nodes = []
    around = list[tuple[Block, Nodes]]()  # the open blocks, each with the list that it stands in
    for piece in pieces(source):
        word = word_of(source, piece)
        if word is None:
            nodes.append(piece)
        elif word in ("elif", "else"):
            block = around[-1][0]
            block.has_else |= word == "else"
            nodes = []
            block.branches.append(nodes)
        elif word.startswith("end"):
            nodes = around.pop()[1]
        else:
            kept = _KEPT_AS.match(source, piece.start)
            block = Block(word)
            if kept is not None:
                block.name, block.is_filtered = kept[1], bool(kept[2])
            nodes.append(block)
            around.append((block, nodes))
            nodes = block.branches[0]
    return nodes


def word_of(source: str, piece: Text | Tag) -> str | None:
    """Returns the word of a tag that begins, divides or ends a block, else None."""
    if isinstance(piece, Text) or (found := _WORD.match(source, piece.start)) is None:
        return None
    return None if _ASSIGNMENT.match(source, piece.start, piece.stop) else found[1]


def pieces(source: str) -> Iterator[Text | Tag]:
    """Yields texts that are not empty, and tags other than comments."""
    position, trims = 0, False
    for start, tag in (*tags(source), (len(source), "")):
        yield from _text(source, position, start, (trims, tag[2:3] == "-"))
        position, trims = start + len(tag), tag[-3:-2] == "-" and len(tag) > len("{#-#}")
        if raw := RAW.match(tag):
            end = next(END_RAW.finditer(tag, raw.end()))
            inner = (raw.group()[-3] == "-", end.group()[2] == "-")
            yield from _text(source, start + raw.end(), start + end.start(), inner, is_raw=True)
        elif tag and not tag.startswith("{#"):
            yield Tag(start, position)


def _text(
    source: str, start: int, stop: int, trims: tuple[bool, bool], *, is_raw: bool = False
) -> Iterator[Text]:
    if trims[0]:
        start = stop - len(source[start:stop].lstrip(_WHITE))
    if trims[1]:
        stop = start + len(source[start:stop].rstrip(_WHITE))
    if start < stop:
        yield Text(start, stop, is_raw)
