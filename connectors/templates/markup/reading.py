"""The findings of a browser in every document that a template can become: attributes, and places
for an image.

The tokenizer is led through all branches and as often through loops as its states change. A finding
counts when it is the same from every state in which its piece of text can be reached.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from connectors.templates.language.nesting import RAW, tags
from connectors.templates.markup.findings import Found, Value
from connectors.templates.markup.sources import Block, Nodes, Tag, Text, parse
from connectors.templates.markup.tokens import Mode, State, printed, read

_MAX_STEPS = 200_000  # pieces followed; nested loops that never settle would take 8^150
_MAX_READ = 400_000  # characters, a piece once for each state in which it is reached
_MAX_DEPTH = 64  # blocks in each other; each takes five calls of Python's stack, which has 1,000
_MAX_STATES = 24
_MAX_ROUNDS = 8
_SAFE = re.compile(r"\|\s*safe\b|\bfilter\s+safe\b")
_JSON = re.compile(r"\|\s*tojson\b|\bfilter\s+tojson\b")
# where JSON, whose quotes are not escaped, ends nothing
_TAKES_QUOTES = (Mode.TEXT, Mode.RAW, Mode.COMMENT)
_CONDITION = re.compile(r"\{%[-+]?\s*(?:el)?if\b")
T = TypeVar("T")
_Path = tuple[int, ...]  # the branches around a piece


class TooBranchedError(Exception):
    """The template has more ways through it than are followed."""


@dataclass
class Reading:
    """`values` with the places of their tags. `clear`: places for an image that every document has
    once. `ends` and `begins` of bodies: places, and whether every document has them once.
    `is_clear_at_end`: whether an image at the end of every document would be loaded.
    """

    values: dict[Value, frozenset[int]] = field(default_factory=dict)
    clear: list[int] = field(default_factory=list)
    ends: dict[int, bool] = field(default_factory=dict)
    begins: dict[int, bool] = field(default_factory=dict)
    is_clear_at_end: bool = False


def read_template(source: str) -> Reading:
    """For a source that the engine compiles. Of one with too many ways through it, only the text
    before its first tag is read.
    """
    try:
        return _Walk(source).reading()
    except TooBranchedError:
        made, nodes = Reading(), parse(source)
        if nodes and isinstance(first := nodes[0], Text) and not first.is_raw:
            found = read(State(), source[first.start : first.stop], first.start)[1]
            _add(made, [found], [first], is_certain=True)
        return made


class _Walk:
    """One way through all branches. `_texts` has the path of every text that can be reached, and
    `_reached` the states in which it can be.
    """

    def __init__(self, source: str) -> None:
        self._source, self._nodes = source, parse(source)
        self._reached = defaultdict[Text, set[State]](set)
        self._texts = dict[Text, _Path]()
        self._steps = self._characters = 0
        self._runs = dict[tuple[Text, State], tuple[State, Found]]()
        self._followed = dict[tuple[int, frozenset[State], int], set[State]]()
        captured = list(_captured(self._nodes))
        self._captured = re.compile(rf"\b(?:{'|'.join({str(one.name) for one in captured})})\b")
        self._has_captured = bool(captured)
        self._kept = self._printed_only(captured)
        self._neutral = set[str]()  # kept names whose text leaves a document as it was
        self._is_wild = self._has_wild_names()

    def reading(self) -> Reading:
        ends = self._through(self._nodes, {State()}, ())
        made = Reading(is_clear_at_end=all(state.is_clear for state in ends))
        limits = defaultdict[_Path, list[Text]](list)
        for text in sorted(self._texts, key=lambda one: one.start):
            if not text.is_raw:
                limits[self._texts[text]].append(text)
        for path, texts in limits.items():
            for text in texts:
                runs = [self._run(text, state)[1] for state in self._reached[text]]
                _add(made, runs, texts, is_certain=not path)
        made.clear.sort()
        return made

    def _through(self, nodes: Nodes, states: set[State], path: _Path) -> set[State]:
        for node in nodes:
            self._steps += len(states)
            if self._steps > _MAX_STEPS:
                raise TooBranchedError
            match node:
                case Text():
                    states = self._read(node, states, path)
                case Tag():
                    states = self._print(node, states)
                case Block():
                    states = self._followed_once(node, states, path)
            if len(states) > _MAX_STATES:
                raise TooBranchedError
        return states

    def _branch(self, nodes: Nodes, states: set[State], path: _Path) -> set[State]:
        if len(path) == _MAX_DEPTH:
            raise TooBranchedError
        return self._through(nodes, states, (*path, id(nodes)))

    def _read(self, text: Text, states: set[State], path: _Path) -> set[State]:
        self._texts[text] = path
        self._reached[text] |= states
        return {self._run(text, state)[0] for state in states}

    def _run(self, text: Text, state: State) -> tuple[State, Found]:
        """Reads a text from a state, once."""
        if (run := self._runs.get((text, state))) is None:
            self._characters += text.stop - text.start + len(state.pending)
            if self._characters > _MAX_READ:
                raise TooBranchedError
            piece = self._source[text.start : text.stop]
            run = self._runs[text, state] = read(state, piece, text.start)
        return run

    def _print(self, tag: Tag, states: set[State]) -> set[State]:
        text = self._source[tag.start : tag.stop]
        if not text.startswith("{{"):
            return states
        is_wild = self._is_wild or bool(_SAFE.search(text))
        has_quotes = bool(_JSON.search(text))
        captured = self._captured.search(text) if self._has_captured else None
        is_neutral = captured is not None and captured.group() in self._neutral
        made = set()
        for state in states:
            quoted = has_quotes and state.mode not in _TAKES_QUOTES
            unknown = captured is not None and not (is_neutral and state.mode is Mode.TEXT)
            made.add(printed(state, tag.start, is_wild=is_wild or quoted or unknown))
        return made

    def _followed_once(self, block: Block, states: set[State], path: _Path) -> set[State]:
        """Follows a block, unless it was followed from the same states: loops in loops would take
        twice as long for each level.
        """
        key = id(block), frozenset(states), len(self._neutral)
        if (after := self._followed.get(key)) is None:
            after = self._followed[key] = self._block(block, states, path)
        return after

    def _block(self, block: Block, states: set[State], path: _Path) -> set[State]:
        match block.word:
            case "for":
                return self._loop(block, states, path)
            case "if":
                after = set() if block.has_else else set(states)
                return after.union(*(self._branch(one, states, path) for one in block.branches))
            case "set":
                if block.name in self._kept:
                    begin = State(is_wild=True)  # printed anywhere
                    if self._branch(block.branches[0], {begin}, path) == {begin}:
                        self._neutral.add(block.name)
                return states
            case "filter":
                return {printed(state, 0, is_wild=True) for state in states}
            case _:
                return self._branch(block.branches[0], states, path)

    def _loop(self, block: Block, states: set[State], path: _Path) -> set[State]:
        entered = set(states)
        for _ in range(_MAX_ROUNDS):
            after = self._branch(block.branches[0], entered, path)
            if after <= entered:
                break
            entered |= after
        else:
            raise TooBranchedError
        otherwise = self._branch(block.branches[1], states, path) if block.has_else else states
        return after | otherwise

    def _other_tags(self) -> Iterator[str]:
        """Yields every tag but comments and raw blocks."""
        for _, text in tags(self._source):
            if not text.startswith("{#") and not RAW.match(text):
                yield text

    def _printed_only(self, captured: Sequence[Block]) -> frozenset[str]:
        """Returns the names of `set` blocks that are only printed as they are: what is changed in
        their text reaches the document.
        """
        names = {one.name for one in captured if one.name and not one.is_filtered}
        for text in self._other_tags():
            for name in re.findall(r"\w+", text):
                plain = rf"\{{\{{[-+]?\s*{name}\s*[-+]?\}}\}}|\{{%[-+]?\s*set\s+{name}\s*[-+]?%\}}"
                if name in names and not re.fullmatch(plain, text):
                    names.discard(name)
        return frozenset(names)

    def _has_wild_names(self) -> bool:
        """Whether a name may hold text that is not escaped when it is printed."""
        return any(
            _SAFE.search(text)
            or _JSON.search(text)
            or (
                self._has_captured
                and self._captured.search(text)
                and not _CONDITION.match(text)
                and not re.match(r"\{%[-+]?\s*set\s+\w+\s*[-+|%]", text)
            )
            for text in self._other_tags()
            if text.startswith("{%")
        )


def _captured(nodes: Nodes) -> Iterator[Block]:
    """Yields the `set` blocks of these pieces, at any depth."""
    waiting = list(nodes)
    while waiting:
        if isinstance(node := waiting.pop(), Block):
            if node.word == "set":
                yield node
            waiting += [one for branch in node.branches for one in branch]


def _add(made: Reading, runs: Sequence[Found], limits: Sequence[Text], *, is_certain: bool) -> None:
    """Adds what all runs through a text have found. `limits` are the texts of the same branch: a
    value that begins in another one is not always there.
    """
    for value in _common([found.values.keys() for found in runs]):
        at = bisect_right(limits, value.start, key=lambda text: text.start) - 1
        if at >= 0 and value.start <= limits[at].stop:
            made.values[value] = frozenset(found.values[value] for found in runs)
    made.ends |= dict.fromkeys(_common([found.ends for found in runs]), is_certain)
    made.begins |= dict.fromkeys(_common([found.begins for found in runs]), is_certain)
    if is_certain:
        made.clear += _common([found.clear for found in runs])


def _common(found: Sequence[Iterable[T]]) -> set[T]:
    first, *others = found
    return set(first).intersection(*others)
