"""The language of templates: the part of Jinja whose cost the engine's fuel bounds.

Fuel counts steps, not the work inside one step. So everything that would make one step long is
refused when a template is compiled: calls (a method of a Python object, an endless `range`);
sequences that are repeated, joined or nested into each other (MiniJinja keeps them lazily, so a few
steps make 10^12 elements, and comparing two of them never ends); and tags that bring a template
into another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from connectors.templates.language.foreign import hint
from connectors.templates.language.nesting import tags

TAGS = frozenset(
    re.findall(
        r"\w+", "if elif else endif for endfor set endset with endwith filter endfilter raw endraw"
    )
)
# No filter here makes a list that is longer, or nested deeper, than its input. `default` within
# `map` would, so `map` takes an attribute only.
FILTERS = frozenset(
    re.findall(
        r"\w+",
        "abs bool capitalize d date default dictsort e escape first float format indent int items "
        "join last length count lines list lower map max min number reject rejectattr replace "
        "reverse round safe select selectattr sort split string sum title tojson trim truncate "
        "unique upper urlencode",
    )
)
_LOOP_METHODS = ("cycle", "changed")
_KEYWORDS = frozenset(
    ["if", "elif", "else", "for", "in", "and", "or", "not", "is", "set", "with", "filter"]
)
# what a message's own addresses are made of
_GIVEN = frozenset(["messageId", "unsubscribeUrl", "__u", "__t"])
_ASSIGNING = frozenset(["set", "for", "with"])
_CONSTANTS = frozenset(["true", "True", "false", "False", "none", "None"])
_OPENING, _CLOSING = "([{", ")]}"
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<number>0[xXoObB]\w+|\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|//|[=!<>]=|[-+*/%~|.,:=<>()\[\]{}]))""",
    re.DOTALL,
)
_RANGE = re.compile(r"\(\s*\d{1,2}\s*(?:,\s*\d{1,2}\s*){0,2}\)")
_ATTRIBUTE = re.compile(r"""\(\s*attribute\s*=\s*(?:"[^"\\]*"|'[^'\\]*')\s*\)""")


class _RefusedError(ValueError):
    """The source uses something that is refused; the message names it."""


def refused(source: str) -> str | None:
    """Returns what is refused in this source, as `line 3: …`, or None when it may be compiled. Call
    `too_nested` before.
    """
    for start, text in tags(source):
        if text.startswith("{#"):
            continue
        try:
            if text.startswith(("{{/", "{{>")):
                raise _RefusedError(f"unexpected `{text[2]}`")
            _Tag(text).check()
        except _RefusedError as error:
            return f"line {source.count(chr(10), 0, start) + 1}: {error}{hint(text)}"
    return None


class _Tag:
    """One tag, read token by token. `_open` has the open brackets: call, group, subscript or
    literal.
    """

    def __init__(self, text: str) -> None:
        self._text = text[2:-2].removeprefix("-").removeprefix("+")
        if self._text.endswith(("-", "+")):
            self._text = self._text[:-1]
        self._is_block = text.startswith("{%")
        self._open: list[str] = []
        self._before: list[
            tuple[str, str]
            # kind and text of the tokens so far; a name may be a keyword, filter, test or attribute
        ] = []
        self._in_targets = False  # between `for` and its `in`, where a comma separates names

    def check(self) -> None:
        """Raises _RefusedError."""
        for kind, text, end in self._tokens():
            if "literal" in self._open:
                self._check_literal(kind, text)
            if kind == "name":
                kind = self._kind_of_name(text, end)
                if text in _GIVEN and kind == "name" and self._is_target():
                    raise _RefusedError(f"`{text}` is given and cannot be set")
                if self._before and kind == "keyword" and text == "in":
                    self._in_targets = False
            elif kind == "sign":
                self._check_sign(text, end)
            self._before.append((kind, text))
            if self._is_block and len(self._before) == 1:
                if text not in TAGS:
                    raise _RefusedError(f"there is no tag `{text}` here")
                if text in ("raw", "endraw"):
                    return
                self._in_targets = text == "for"

    def _is_target(self) -> bool:
        """Whether a name here is one that the tag sets."""
        ends = (("keyword", "in"), ("sign", "="))
        return (
            self._is_block
            and bool(self._before)
            and self._before[0][1] in _ASSIGNING
            and not any(token in ends for token in self._before)
        )

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        position, text = 0, self._text.rstrip()
        while position < len(text):
            found = TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                raise _RefusedError(f"unexpected `{text[position:].lstrip()[:1]}`")
            position = found.end()
            yield found.lastgroup, found[found.lastgroup], position

    def _kind_of_name(self, name: str, end: int) -> str:
        last = self._before[-1] if self._before else ("", "")
        if last == ("sign", "|") or (self._is_block and self._before == [("keyword", "filter")]):
            if name not in FILTERS:
                raise _RefusedError(f"there is no filter `{name}` here")
            self._check_arguments(name, self._text[end:].lstrip())
            return "filter"
        if last == ("sign", "."):
            return "attribute"
        if last == ("keyword", "is") or (
            last == ("keyword", "not") and self._before[-2:-1] == [("keyword", "is")]
        ):
            return "keyword" if name == "not" and last[1] == "is" else "test"
        return "keyword" if name in _KEYWORDS or (self._is_block and not self._before) else "name"

    def _check_arguments(self, filter_name: str, following: str) -> None:
        has_arguments = following.startswith("(")
        if (
            filter_name == "map" or (filter_name == "sum" and has_arguments)
        ) and not _ATTRIBUTE.match(following):
            raise _RefusedError(
                f"`{filter_name}` takes an attribute only, as in `{filter_name}(attribute='name')`"
            )
        if filter_name == "tojson" and has_arguments:
            raise _RefusedError("`tojson` takes no indent")  # of any width, and without fuel

    def _check_literal(self, kind: str, text: str) -> None:
        """Refuses a list or mapping that holds variables: it could hold itself twice, over and
        over.
        """
        is_postfix = text in _OPENING and self._follows_operand()
        if (kind == "name" and text not in _CONSTANTS) or (
            kind == "sign" and (text not in "-,:[]{}" or is_postfix)
        ):
            raise _RefusedError("a list or mapping may hold constants only")

    def _check_sign(self, sign: str, end: int) -> None:
        if sign in _OPENING:
            self._open.append(self._bracket(sign, end))
        elif sign in _CLOSING:
            if not self._open:
                raise _RefusedError(f"unexpected `{sign}`")
            self._open.pop()
        elif sign == ",":
            if not (self._open and self._open[-1] in ("call", "literal")) and not (
                not self._open and self._in_targets
            ):
                raise _RefusedError("unexpected `,`: a list is written in square brackets")
        elif sign == ":" and self._open[-1:] == ["subscript"]:
            # slices of slices are kept lazily as well: 500 of them took 8 s
            raise _RefusedError("there are no slices here: use an index, `first` or `last`")
        elif sign in ("+", "*"):
            self._check_operand(sign, end)
        elif sign == "**":
            raise _RefusedError("there is no `**` here")

    def _bracket(self, sign: str, end: int) -> str:
        last = self._before[-1][0] if self._before else ""
        if sign == "[" and self._follows_operand():
            return "subscript"
        if sign != "(":
            return "literal"
        if last in ("filter", "test"):
            return "call"
        if not self._follows_operand():
            return "group"
        texts = [text for _, text in self._before[-4:]]
        if last == "name" and texts[-1] == "range":
            if not _RANGE.match(self._text[end - 1 :]):
                raise _RefusedError("`range` takes constants up to 99")
        elif (
            last != "attribute"
            or texts[-3:-1] != ["loop", "."]
            or texts[-1] not in _LOOP_METHODS
            or texts[:-3] == ["."]
        ):
            raise _RefusedError(
                f"`{''.join(texts[-3:] if last == 'attribute' else texts[-1:])}(` cannot be called"
            )
        return "call"

    def _check_operand(self, sign: str, end: int) -> None:
        """Refuses a right operand that is no constant number, because lists could be added or
        multiplied.
        """
        found = TOKEN.match(self._text, end)
        number = found["number"] if found else None
        following = self._text[found.end() :].lstrip()[:1] if found else ""
        if number is None or following in tuple("|.[("):
            raise _RefusedError(
                f"behind `{sign}` stands a constant number, as in `loop.index + 1`, `price * 1.19`;"
                " texts are joined by `~`"
            )
        if sign == "*" and ("." not in number or float(number).is_integer()):
            raise _RefusedError(
                f"`* {number}`: the constant has a fraction, as in `price * 1.19`;"
                " for others divide, as in `price / 0.01`"
            )

    def _follows_operand(self) -> bool:
        if not self._before:
            return False
        kind, text = self._before[-1]
        return text in _CLOSING if kind == "sign" else kind != "keyword"
