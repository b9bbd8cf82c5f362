"""Missing values and comparisons in a template's conditions: rewritten for the engine before it
compiles them.

The engine runs in its mode `semi_strict`: printing a missing value is an error, `if`, `and`, `or`
and `not` take it for false. Rewritten is the rest of what a condition may hold: a comparison with a
missing value is false, a filter of one is missing itself, a loop over one takes `else`; and a text
that spells a number is compared with numbers as one (`comparisons`). A comparison of a path with a
constant stays in the engine, because a call of Python costs 2 us.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from connectors.templates.conditions.operands import SIGNS, Kind, Operand, comparison
from connectors.templates.conditions.tokens import Tokens
from connectors.templates.language.nesting import RAW, tags

_WORDS = frozenset(["if", "else", "and", "or", "not", "in", "is"])
_CONSTANTS = frozenset(["true", "True", "false", "False", "none", "None"])
_DECIMAL = re.compile(r"""["']-?[0-9]+(\.[0-9]+)?["']""")
# mappings that every contact has
_PRESENT = frozenset(["contact", "contact.attributes", "attributes", "campaign", "loop"])
_OPERATORS = frozenset("+-*/%~") | {"//"}
_DEFAULTS = ("default", "d")
_SORTING = frozenset(["sort", "min", "max"])
# characters; an index is written up to five times, so indexes in each other grow exponentially
_LONGEST = 32_000


class TooIntricateError(ValueError):
    """A condition whose brackets in each other make it too long; the message has its line."""


def forgiving(source: str) -> str:
    """Returns the source with conditions that miss nothing. For one that the engine compiles; every
    line keeps its number. Raises TooIntricateError.
    """
    made, position, line = list[str](), 0, 1
    for start, tag in tags(source):
        if not tag.startswith("{#") and not RAW.match(tag):
            line += source.count("\n", position, start)
            made += [source[position:start], _Expression(tag, line).rewritten()]
            position = start + len(tag)
            line += tag.count("\n")
    return "".join([*made, source[position:]])


class _Expression(Tokens):
    """One tag. Methods return the new text of the tokens `[start, stop)`, without the space around
    them. `is_asked`: whether they are part of a condition, where a missing value is no error.
    """

    def __init__(self, tag: str, line: int) -> None:
        super().__init__(tag)
        self._line = line

    def rewritten(self) -> str:
        tokens = self._tokens
        if not tokens:
            return self._tag
        start, stop, rewrite = 0, len(tokens), self._conditional
        is_asked = False
        if self._tag.startswith("{%"):
            word, is_asked, start = tokens[0].text, True, 1
            if word in ("set", "with"):
                start = next(self._signs(1, stop, ("=",)), stop) + 1
            elif word == "for":
                start = next(self._words(1, stop, "in")) + 1
                rewrite = self._loop
            elif word not in ("if", "elif"):
                start = stop
        if start >= stop:
            return self._tag
        new = rewrite(start, stop, is_asked)
        return self._tag[: tokens[start].start] + new + self._tag[tokens[-1].end :]

    def _loop(self, start: int, stop: int, is_asked: bool) -> str:
        if self._tokens[stop - 1].text == "recursive" and stop - start > 1:
            stop -= 1
            return self._loop(start, stop, is_asked) + self._from(stop, stop + 1)
        condition = next(self._words(start, stop, "if"), stop)
        over = self._either(start, condition, is_asked)
        if self._is_path(start, condition):
            over = f"{over}|default([])"
        elif self._tokens[start].text not in ("[", "range"):
            # a missing value in a condition is false, which is not looped over
            over = f"({over})|default([], true)"
        if condition == stop:
            return over
        return over + self._around(condition) + self._conditional(condition + 1, stop, True)

    def _conditional(self, start: int, stop: int, is_asked: bool) -> str:
        made = self._chosen(start, stop, is_asked)
        if len(made) > _LONGEST:
            raise TooIntricateError(f"line {self._line}: too many brackets in each other")
        return made

    def _chosen(self, start: int, stop: int, is_asked: bool) -> str:
        """The same, with `… if … else …`."""
        condition = next(self._words(start, stop, "if"), None)
        if condition is None:
            return self._either(start, stop, is_asked)
        otherwise = next(self._words(condition + 1, stop, "else"), stop)
        made = self._either(start, condition, is_asked) + self._around(condition)
        made += self._either(condition + 1, otherwise, True)
        if otherwise < stop:
            made += self._around(otherwise)
            made += self._conditional(otherwise + 1, stop, is_asked)
        return made

    def _either(self, start: int, stop: int, is_asked: bool) -> str:
        return self._split(start, stop, "or", self._both, is_asked)

    def _both(self, start: int, stop: int, is_asked: bool) -> str:
        return self._split(start, stop, "and", self._negated, is_asked)

    def _split(
        self,
        start: int,
        stop: int,
        word: str,
        rewrite: Callable[[int, int, bool], str],
        is_asked: bool,
    ) -> str:
        places = list(self._words(start, stop, word))
        if not places:
            return rewrite(start, stop, is_asked)
        made = ""
        for place in places:
            made += rewrite(start, place, True) + self._around(place)
            start = place + 1
        return made + rewrite(start, stop, True)

    def _negated(self, start: int, stop: int, is_asked: bool) -> str:
        if self._tokens[start].text == "not":
            return self._from(start, start + 1)[len(self._before(start)) :] + (
                self._before(start + 1) + self._negated(start + 1, stop, True)
            )
        return self._compared(start, stop, is_asked)

    def _compared(self, start: int, stop: int, is_asked: bool) -> str:
        signs = set(self._signs(start, stop, SIGNS))
        places = sorted(signs | set(self._words(start, stop, "in")))
        if not places:
            return self._operand(start, stop, is_asked).text
        left = None
        for number, place in enumerate(places):
            is_not_in = place not in signs and self._tokens[place - 1].text == "not"
            end = places[number + 1] if number + 1 < len(places) else stop
            if end < stop and end not in signs and self._tokens[end - 1].text == "not":
                end -= 1
            if left is None:
                left = self._operand(start, place - is_not_in, True)
            right = self._operand(place + 1, end, True)
            word = "not in" if is_not_in else self._tokens[place].text
            line = self._line + self._tag.count("\n", 0, self._tokens[place].start)
            breaks = "\n" * self._tag.count(
                "\n", self._tokens[place - 1].end, self._tokens[place + 1].start
            )
            left = Operand(breaks + comparison(left, word, right, line), Kind.OTHER)
        assert left is not None
        return left.text

    def _operand(self, start: int, stop: int, is_asked: bool) -> Operand:
        """Rewrites what stands on one side of a comparison: paths, filters, sums."""
        first, tokens = self._tokens[start], self._tokens[start:stop]
        kind, texts = Kind.OTHER, [token.text for token in tokens]
        if len(tokens) == 1 and first.kind == "string":
            kind = Kind.OTHER if _DECIMAL.fullmatch(first.text) else Kind.CONSTANT
        elif len(tokens) == 1 and first.text in _CONSTANTS:
            kind = Kind.CONSTANT
        elif tokens[-1].kind == "number" and texts[:-1] in ([], ["-"]):
            kind = Kind.NUMBER
        elif first.text in ("[", "{") and self._ends.get(start) == stop - 1:
            has_number = any(
                token.kind == "number" or _DECIMAL.fullmatch(token.text) for token in tokens
            )
            return Operand(self._plain(start, stop), Kind.CONSTANT, has_number)
        elif self._is_path(start, stop):
            kind = Kind.PATH
        made, guards = self._run(start, stop, is_asked)
        if is_asked and kind is Kind.OTHER:
            is_negated = ("is", "not") in pairwise(texts)
            for guard in reversed(guards):
                missing = "true" if is_negated else guard
                made = f"({missing} if {guard} is undefined else {made})"
        return Operand(made, kind)

    def _run(self, start: int, stop: int, is_asked: bool) -> tuple[str, list[str]]:
        """The new text, and the paths in it that must not be missing."""
        made, guards, place, begun = "", list[str](), start, 0
        while place < stop:
            if place > start:
                made += self._before(place)
                if self._tokens[place - 1].text in _OPERATORS:
                    begun = len(made)
            token = self._tokens[place]
            if self._begins_path(place, start):
                end = self._end_of_path(place, stop)
                is_guarded = self._is_guarded(end, stop)
                path = self._path(place, end, is_asked or is_guarded)
                if not is_guarded and path not in _PRESENT:
                    guards.append(path)
                made, place = made + path, end
            elif token.text in ("(", "["):
                end = self._ends[place]
                made += token.text + self._elements(place + 1, end, is_asked)
                made += self._before(end) + self._tokens[end].text
                name = self._tokens[place - 1] if token.text == "(" and place > start else None
                if name is not None and name.kind == "name":
                    given = self._given(place + 1, end)
                    # missing is only what has no default either
                    is_default = name.text in _DEFAULTS and self._tokens[place - 2].text == "|"
                    if not is_default:
                        guards += given
                    elif given and not self._is_guarded(end + 1, stop):
                        guards.append(made[begun:])
                place = end + 1
            else:
                if token.text == "|" and self._tokens[place + 1].text in _SORTING:
                    made += f"|_sortable{self._sorted_by(place + 2)}"
                made, place = made + token.text, place + 1
        return made, guards

    def _given(self, start: int, stop: int) -> list[str]:
        """The paths that are arguments as they are."""
        made = []
        for comma in (*self._signs(start, stop, (",",)), stop):
            begin = start
            if comma - start > 2 and self._tokens[start + 1].text == "=":
                begin = start + 2
            if begin < comma and self._is_path(begin, comma):
                made.append(self._path(begin, comma, True))
            start = comma + 1
        return made

    def _sorted_by(self, place: int) -> str:
        """The attribute by which a filter sorts, as an argument."""
        for at in range(place + 1, self._ends.get(place, place)):
            if self._tokens[at - 1].text == "=" and self._tokens[at - 2].text == "attribute":
                return f"({self._tokens[at].text})"
        return ""

    def _elements(self, start: int, stop: int, is_asked: bool) -> str:
        """Arguments, or the inside of a group, an index or a list."""
        made = ""
        for comma in (*self._signs(start, stop, (",",)), stop):
            if start < comma:
                named = self._tokens[start].kind == "name" and self._tokens[start + 1].text == "="
                begin = start + 2 if named and start + 1 < comma else start
                made += self._before(start) + self._plain(start, begin)
                made += self._before(begin) if begin > start else ""
                made += self._conditional(begin, comma, is_asked)
            if comma < stop:
                made += self._before(comma) + ","
            start = comma + 1
        return made

    def _begins_path(self, place: int, start: int) -> bool:
        token = self._tokens[place]
        before = self._tokens[place - 1].text if place > start else ""
        following = self._tokens[place + 1].text if place + 1 < len(self._tokens) else ""
        is_word = token.text in _CONSTANTS or token.text in _WORDS
        is_test = before == "is" or (before == "not" and self._tokens[place - 2].text == "is")
        return (
            token.kind == "name"
            and not is_word
            and not is_test
            and before not in (".", "|")
            and following != "("
        )

    def _end_of_path(self, place: int, stop: int) -> int:
        place += 1
        while place < stop:
            if self._tokens[place].text == "." and place + 1 < stop:
                place += 2
            elif self._tokens[place].text == "[":
                place = self._ends[place] + 1
            else:
                break
        return place

    def _is_path(self, start: int, stop: int) -> bool:
        return self._begins_path(start, start) and self._end_of_path(start, stop) == stop

    def _is_guarded(self, place: int, stop: int) -> bool:
        """Whether what follows a path can do with a missing value: a default, a test for one."""
        following = [token.text for token in self._tokens[place : min(place + 3, stop)]]
        match following:
            case ["|", name, *_] if name in _DEFAULTS:
                return True
            case ["is", "defined" | "undefined", *_] | ["is", "not", "defined" | "undefined"]:
                return True
            case ["(", *_]:
                return True  # a call: `loop.cycle`
        return False

    def _path(self, start: int, stop: int, is_asked: bool) -> str:
        """A part of what is missing is missing, too: the engine knows parts of mappings only."""
        made, name, place = self._tokens[start].text, self._tokens[start].text, start + 1
        while place < stop:
            if is_asked and name not in _PRESENT:
                made = f"({made}|default({{}}))"
            if self._tokens[place].text == ".":
                made += self._from(place, place + 2)
                name += "." + self._tokens[place + 1].text
                place += 2
            else:
                end = self._ends[place]
                made += self._before(place) + "[" + self._elements(place + 1, end, is_asked)
                made += self._before(end) + "]"
                name, place = "", end + 1
        return made
