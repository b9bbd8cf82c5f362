"""The tokens of one tag of a template, by their places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connectors.templates.language.dialect import TOKEN

_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class Tokens:
    """The tokens of a tag that the engine compiles, so that its brackets are even. Methods speak of
    the tokens `[start, stop)`.
    """

    def __init__(self, tag: str) -> None:
        self._tag, self._tokens = tag, list(_tokens(tag))
        self._ends = self._matching()

    def _words(self, start: int, stop: int, word: str) -> Iterator[int]:
        """Yields the places of a word outside brackets where it is none of a test or attribute."""
        for place in self._outside(start, stop):
            before = self._tokens[place - 1].text if place else ""
            is_test = before == "is" or (
                before == "not" and place > 1 and self._tokens[place - 2].text == "is"
            )
            if self._tokens[place].text == word and before not in (".", "|") and not is_test:
                yield place

    def _signs(self, start: int, stop: int, signs: tuple[str, ...]) -> Iterator[int]:
        for place in self._outside(start, stop):
            if self._tokens[place].kind == "sign" and self._tokens[place].text in signs:
                yield place

    def _outside(self, start: int, stop: int) -> Iterator[int]:
        place = start
        while place < stop:
            if place in self._ends:
                place = self._ends[place]
            else:
                yield place
            place += 1

    def _matching(self) -> dict[int, int]:
        """The place of the bracket that closes each one that opens."""
        ends, opened = dict[int, int](), list[int]()
        for place, token in enumerate(self._tokens):
            if token.kind == "sign" and token.text in _OPENING:
                opened.append(place)
            elif token.kind == "sign" and token.text in _CLOSING:
                ends[opened.pop()] = place
        return ends

    def _before(self, place: int) -> str:
        """The space before a token."""
        return self._tag[self._tokens[place - 1].end : self._tokens[place].start] if place else ""

    def _around(self, place: int) -> str:
        """The token with the space on both sides."""
        return self._tag[self._tokens[place - 1].end : self._tokens[place + 1].start]

    def _from(self, start: int, stop: int) -> str:
        """These tokens as they are written, with the space before them."""
        return self._before(start) + self._plain(start, stop)

    def _plain(self, start: int, stop: int) -> str:
        """These tokens as they are written."""
        if start == stop:
            return ""
        return self._tag[self._tokens[start].start : self._tokens[stop - 1].end]


def _tokens(tag: str) -> Iterator[_Token]:
    position, stop = 2, len(tag) - 2
    position += tag[position] in "-+"
    stop -= tag[stop - 1] in "-+"
    while found := TOKEN.match(tag, position, stop):
        assert found.lastgroup is not None
        kind = found.lastgroup
        yield _Token(kind, found[kind], found.start(kind), found.end(kind))
        position = found.end()
