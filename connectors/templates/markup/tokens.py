"""HTML read piece by piece: a tokenizer that a template tag may interrupt anywhere.

It follows the tokenizer of the HTML standard (section 13.2.5). A `State` is all that the text so
far decides; what is not decided yet (`<`, half a name) waits in it as `pending`. Comments for
Outlook (`<!--[if mso]>`) are read as HTML, because Outlook does.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from connectors.templates.markup.findings import Element, Found, Run, Value

_SPACE = "\t\n\x0c\r "
_NAME = re.compile(rf"[^{_SPACE}/>]+")
_ATTRIBUTE = re.compile(rf"(=?[^{_SPACE}/>=]*)([{_SPACE}]*)(=?)")
_BETWEEN = re.compile(rf"[{_SPACE}/]*")
_SPACES = re.compile(rf"[{_SPACE}]*")
_UNQUOTED = re.compile(rf"[^{_SPACE}>]*")
_END_OF_COMMENT = re.compile(r"--!?>")
_HALF_END_OF_COMMENT = re.compile(r"--?!?\Z")
_END_OF_BOGUS = re.compile(">")
_CONDITION = "<!--[if"
_RAW_TEXT = frozenset(
    ["title", "textarea", "style", "xmp", "iframe", "noembed", "noframes", "script", "plaintext"]
)
_END_OF_RAW = {
    tag: re.compile(rf"</{tag}(?=[{_SPACE}/>])", re.IGNORECASE | re.ASCII) for tag in _RAW_TEXT
}
# content that is not shown, or whose tags mean something else
_INERT = frozenset(["template", "select", "svg", "math", "noscript", "frameset"])
# elements in which a parser does not always read raw text as such
_OTHER_RULES = _INERT - {"noscript"}
_DEEPEST = 4  # inert elements in each other: a loop may open them without end


class Mode(Enum):
    """The place in HTML that has been reached."""

    TEXT = "text"
    TAG = "between the attributes of a tag"
    BEFORE_VALUE = "behind the `=` of an attribute"
    VALUE = "in the value of an attribute"
    COMMENT = "comment"
    BOGUS = "what ends with `>`: a declaration, a processing instruction"
    RAW = "text of an element that has no tags in it"


class State(NamedTuple):
    """Everything that matters for what follows.

    `tag`, `is_end` and `tag_at` are those of the open tag (RAW: of the element); `attribute`,
    `quote` and `start` those of the open value. `inert` are the open elements that show no image.
    `is_wild`: something unknown came before, so the rest may be read differently.
    """

    mode: Mode = Mode.TEXT
    tag: str = ""
    is_end: bool = False
    tag_at: int = 0
    attribute: str = ""
    quote: str = ""
    start: int = 0
    is_conditional: bool = False
    inert: tuple[str, ...] = ()
    is_wild: bool = False
    pending: str = ""

    @property
    def is_clear(self) -> bool:
        """Whether an image that stood here would be loaded."""
        return self.mode is Mode.TEXT and not (
            self.is_conditional or self.inert or self.is_wild or self.pending
        )

    def at(self, mode: Mode) -> State:
        return self._replace(mode=mode, pending="")


def printed(state: State, position: int, *, is_wild: bool = False) -> State:
    """Returns the state behind a value that only the rendering knows: escaped, unless `is_wild`."""
    wild = is_wild or bool(state.pending) or state.is_wild
    mode, start, quote = state.mode, state.start, state.quote
    match mode:
        case Mode.BEFORE_VALUE:
            mode, start, quote, wild = Mode.VALUE, position, "", True
        case Mode.VALUE if not quote:
            wild = True  # it may end the value
        case Mode.TAG:
            wild = True
    return state._replace(mode=mode, start=start, quote=quote, is_wild=wild, pending="")


def read(state: State, text: str, position: int, *, is_shown: bool = False) -> tuple[State, Found]:
    """Reads on. `position` is the place of the text in the source. `is_shown`: `Found.shown` is
    wanted, which takes as much memory as all the rest.
    """
    reader = _Reader(state, text, position, is_shown)
    return reader.read(), reader.found


class _Reader:
    """One piece of text with what was pending before it; `at` is the place reached in it."""

    def __init__(self, state: State, text: str, position: int, is_shown: bool) -> None:
        self.buffer = state.pending + text
        self.state, self.at = state._replace(pending=""), 0
        self.base = position - len(state.pending)
        self.first, self.is_shown = position, is_shown
        self.found = Found({}, [], [], [], [])

    def read(self) -> State:
        steps = {
            Mode.TEXT: self.text,
            Mode.TAG: self.tag,
            Mode.BEFORE_VALUE: self.before_value,
            Mode.VALUE: self.value,
            Mode.COMMENT: self.comment,
            Mode.BOGUS: self.bogus,
            Mode.RAW: self.raw,
        }
        whole = self.buffer
        while True:
            held = self.limit(whole)
            is_on = True
            while is_on and self.at < len(self.buffer):
                was_conditional = self.state.is_conditional
                is_on = steps[self.state.mode]()
                if was_conditional != self.state.is_conditional:
                    break
            else:
                pending = self.buffer[self.at :]
                if held is not None:
                    return self.state._replace(pending=pending + held)
                # the comment for Outlook ends, wherever its HTML had got to
                self.at = len(self.buffer)
                self.buffer, self.state = whole, self._behind_condition()
                found = _END_OF_COMMENT.match(whole, self.at)
                assert found is not None
                self.at = found.end()

    def limit(self, whole: str) -> str | None:
        """Hides the end of a comment for Outlook, and what is behind it, from the steps inside.

        Returns the characters that wait for their continuation; None when the comment ends here.
        """
        self.buffer = whole
        if not self.state.is_conditional:
            return ""
        end = _END_OF_COMMENT.search(whole, self.at)
        if end is not None:
            self.buffer = whole[: end.start()]
            return None
        half = _HALF_END_OF_COMMENT.search(whole, self.at)
        cut = half.start() if half else len(whole)
        self.buffer = whole[:cut]
        return whole[cut:]

    def _behind_condition(self) -> State:
        state = self.state
        return State(inert=state.inert, is_wild=state.is_wild)

    def text(self) -> bool:
        """Reads to the next tag, comment or declaration and into it; False: it is undecided."""
        opening = self.buffer.find("<", self.at)
        if self.is_shown:
            self.run(len(self.buffer) if opening < 0 else opening)
        if opening < 0:
            self.at = len(self.buffer)
            return True
        self.at = opening
        if self.state.is_clear and self.base + opening >= self.first:
            self.found.clear.append(self.base + opening)
        rest = self.buffer[opening : opening + len(_CONDITION)]
        if rest.startswith("<!--"):
            return self.comment_begins(rest)
        following = rest[1:2]
        if rest in ("<", "</", "<!", "<!-"):
            return False
        is_end = following == "/"
        letter = rest[2:3] if is_end else following
        if letter.isascii() and letter.isalpha():
            return self.tag_begins(opening, is_end)
        if following in ("!", "?") or (is_end and letter != ">"):
            if rest.startswith("<![") and self.state.inert:  # text, if it is CDATA in SVG
                self.state = self.state._replace(is_wild=True)
            self.state, self.at = self.state.at(Mode.BOGUS), opening + 2
        elif is_end:
            self.at = opening + 3
        else:
            if self.is_shown:
                self.run(opening + 1)
            self.at = opening + 1
        return True

    def run(self, end: int) -> None:
        """Keeps the text up to here."""
        start = max(self.base + self.at, self.first)
        if start < self.base + end and not self.state.is_conditional:
            self.found.shown.append(Run(start, self.base + end))

    def comment_begins(self, rest: str) -> bool:
        if rest in ("<!--", "<!---") or (rest != _CONDITION and _CONDITION.startswith(rest)):
            return False
        behind = self.at + len("<!--")
        if rest.startswith("<!-->"):
            self.at = behind + 1
        elif rest.startswith("<!--->"):
            self.at = behind + 2
        elif rest.lower() == _CONDITION and not self.state.is_conditional:
            self.state = self.state._replace(is_conditional=True)
            self.at = behind
        else:
            self.state, self.at = self.state.at(Mode.COMMENT), behind
        return True

    def tag_begins(self, opening: int, is_end: bool) -> bool:
        name = _NAME.match(self.buffer, opening + 1 + is_end)
        assert name is not None
        if name.end() == len(self.buffer):
            return False
        tag, place = name.group().lower(), self.base + opening
        if is_end and tag == "body" and self.state.is_clear and place >= self.first:
            self.found.ends.append(place)
        self.state = self.state._replace(mode=Mode.TAG, tag=tag, is_end=is_end, tag_at=place)
        self.at = name.end()
        return True

    def tag(self) -> bool:
        between = _BETWEEN.match(self.buffer, self.at)
        assert between is not None
        self.at = between.end()
        if self.at == len(self.buffer):
            return True
        if self.buffer[self.at] == ">":
            self.at += 1
            self.tag_ends()
            return True
        found = _ATTRIBUTE.match(self.buffer, self.at)
        assert found is not None
        name, _, equals = found.groups()
        if not equals and found.end() == len(self.buffer):
            return False
        if equals:
            self.state = self.state._replace(mode=Mode.BEFORE_VALUE, attribute=name.lower())
        self.at = found.end()
        return True

    def tag_ends(self) -> None:
        state = self.state
        if self.is_shown and not state.is_conditional:
            self.found.shown.append(Element(state.tag, state.is_end, state.tag_at))
        self.state = after = state._replace(
            mode=Mode.TEXT, tag="", is_end=False, tag_at=0, attribute="", quote="", start=0
        )
        if state.is_end:
            if not state.is_conditional:
                self.state = after._replace(inert=_without(state.tag, state.inert))
            return
        if state.tag == "body" and after.is_clear:
            self.found.begins.append(self.base + self.at)
        if state.tag in _RAW_TEXT:
            if not _OTHER_RULES.isdisjoint(state.inert):
                self.state = after._replace(is_wild=True)
            else:
                self.state = after._replace(mode=Mode.RAW, tag=state.tag)
        elif state.tag in _INERT and not state.is_conditional:
            inert = (*state.inert, state.tag)[-_DEEPEST:]
            # nothing is shown behind a frameset; deeper than that, the outermost is forgotten
            is_wild = after.is_wild or state.tag == "frameset" or len(state.inert) == _DEEPEST
            self.state = after._replace(inert=inert, is_wild=is_wild)

    def before_value(self) -> bool:
        spaces = _SPACES.match(self.buffer, self.at)
        assert spaces is not None
        self.at = spaces.end()
        if self.at == len(self.buffer):
            return True
        character = self.buffer[self.at]
        if character == ">":
            self.at += 1
            self.tag_ends()
            return True
        quote = character if character in "\"'" else ""
        self.at += len(quote)
        self.state = self.state._replace(mode=Mode.VALUE, quote=quote, start=self.base + self.at)
        return True

    def value(self) -> bool:
        state = self.state
        if state.quote:
            end = self.buffer.find(state.quote, self.at)
            end = len(self.buffer) if end < 0 else end
        else:
            found = _UNQUOTED.match(self.buffer, self.at)
            assert found is not None
            end = found.end()
        self.at = end
        if end < len(self.buffer):
            value = Value(state.start, self.base + end, state.quote, state.tag, state.attribute)
            if not state.is_end:
                self.found.values[value] = state.tag_at
            self.at += len(state.quote)
            self.state = state._replace(mode=Mode.TAG, attribute="", quote="", start=0)
        return True

    def comment(self) -> bool:
        return self._until(_END_OF_COMMENT, _HALF_END_OF_COMMENT)

    def bogus(self) -> bool:
        return self._until(_END_OF_BOGUS, None)

    def _until(self, ends: re.Pattern[str], half: re.Pattern[str] | None) -> bool:
        found = ends.search(self.buffer, self.at)
        if found is not None:
            self.state, self.at = self.state.at(Mode.TEXT), found.end()
            return True
        begun = half.search(self.buffer, self.at) if half else None
        self.at = begun.start() if begun else len(self.buffer)
        return begun is None

    def raw(self) -> bool:
        state = self.state
        if state.tag == "plaintext":
            self.at = len(self.buffer)
            return True
        found = _END_OF_RAW[state.tag].search(self.buffer, self.at)
        end = found.start() if found else len(self.buffer)
        if state.tag == "script" and self.buffer.find("<!--", self.at, end) >= 0:
            state = self.state = state._replace(is_wild=True)  # `</script>` may be text there
        if found is not None:
            place = self.base + found.start()
            self.state = state._replace(mode=Mode.TAG, is_end=True, tag_at=place)
            self.at = found.end()
            return True
        closing = f"</{state.tag}"
        half = self.buffer.rfind("<", max(self.at, len(self.buffer) - len(closing)))
        is_begun = half >= 0 and closing.startswith(self.buffer[half:].lower())
        self.at = half if is_begun else len(self.buffer)
        return not is_begun


def _without(tag: str, inert: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the elements that stay open behind an end tag, which reaches out of no template."""
    for place in reversed(range(len(inert))):
        if inert[place] == tag:
            return inert[:place]
        if inert[place] == "template":
            break
    return inert
