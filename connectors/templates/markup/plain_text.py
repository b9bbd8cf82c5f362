"""The text of an HTML template, as a template: for readers of mail that show no HTML.

Everything that is printed stays a tag, and blocks stay blocks, so the text of each recipient has
what that recipient's HTML has. Left out is what nobody sees: hidden elements such as preheaders,
comments (those for Outlook included), styles, images without words.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from html import unescape
from typing import NamedTuple

from connectors.templates.markup.findings import Element
from connectors.templates.markup.sources import Tag, Text, pieces, word_of
from connectors.templates.markup.text_sources import (
    SPACE,
    destination,
    escaped,
    value_of,
    without_trimming,
    words_of_markup,
)
from connectors.templates.markup.tokens import Mode, State, printed, read

_PARAGRAPHS = frozenset(
    re.findall(
        r"\w+", "p h1 h2 h3 h4 h5 h6 ul ol dl table blockquote pre hr figure section article"
    )
)
_LINES = frozenset(
    re.findall(
        r"\w+",
        "div tr li dt dd address header footer main nav aside form fieldset center body caption "
        "figcaption tbody thead tfoot option legend",
    )
)
_VOID = frozenset(
    re.findall(r"\w+", "area base br col embed hr img input link meta param source track wbr")
)
# elements whose text is not shown; those that a parser reads as raw text have no runs
_UNSEEN = frozenset(re.findall(r"\w+", "head template svg math select object video audio canvas"))
_HIDING = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0+(?:\.0*)?\s*(?:;|!|$)"
    r"|max-height\s*:\s*0+(?:px|em|%)?\s*(?:;|!|$))",
    re.IGNORECASE,
)
# what pads a preheader, so that a list of messages shows nothing behind it
_PADDING = re.compile("(?:[\u00ad\u034f\u2007\u200b-\u200d\u2060\ufeff][\t\n\r \u00a0]*){4,}")
_RULE = "-" * 10


class UnclearError(Exception):
    """The branches of the template end in different places of the HTML."""


class _Link(NamedTuple):
    """An open link: its destination as a template (empty: none to show), and how much had been
    shown when it began.
    """

    url: str
    shown: int


class _Place(NamedTuple):
    """Everything that matters for what follows. `breaks`: line ends wanted before the next word, 2
    for an empty line. `is_spaced`: a space is. `prefix`: what begins a point of a list. `hidden`:
    the element that is not shown, and how many of its kind are open in it.
    """

    html: State = State()
    breaks: int = 0
    is_spaced: bool = False
    prefix: str = ""
    hidden: tuple[str, int] = ("", 0)
    link: _Link | None = None

    @property
    def shape(self) -> tuple[object, ...]:
        """The part of the state in which all branches of a block have to agree."""
        html = self.html
        return html.mode, html.tag, html.quote, html.is_conditional, self.hidden


@dataclass
class _Block:
    """An open block: the texts written before it and how much they showed, where it began, where
    its branches ended. One that shows nothing is left out, unless it `is_kept`.

    `lead` is the place of what separates the first words of a loop's body from those before them.
    """

    word: str
    outer: list[str]
    shown: int
    begin: _Place
    ends: list[_Place] = field(default_factory=list)
    has_else: bool = False
    is_kept: bool = False
    lead: int | None = None


def plain_text(source: str) -> str | None:
    """Returns the source of a text part for an HTML part that the engine compiles; None when there
    are no words in it, or its branches leave open what is shown.
    """
    writer = _Writer(source)
    try:
        writer.write()
    except UnclearError:
        return None
    return "".join(writer.out) if writer.shown else None


def tidied(text: str) -> str:
    """Returns a rendered text without the empty lines that empty branches leave."""
    text = text.strip()
    return re.sub(r"\n{3,}", "\n\n", text) if "\n\n\n" in text else text


class _Writer:
    """Writes one source. `shown` counts what a reader sees."""

    def __init__(self, source: str) -> None:
        self.source, self.out, self.shown = source, list[str](), 0
        self._place, self._blocks = _Place(), list[_Block]()
        # by the place of their tag: the attributes as they are written; None: written twice
        self._attributes = defaultdict[int, dict[str, str | None]](dict)

    def write(self) -> None:
        """Raises UnclearError."""
        for piece in pieces(self.source):
            if isinstance(piece, Text):
                self._read(piece)
                continue
            tag = without_trimming(self.source[piece.start : piece.stop])
            word = word_of(self.source, piece)
            if word is None:
                self._print(piece, tag)
            elif word in ("elif", "else"):
                self._divide(tag, word)
            elif word.startswith("end"):
                self._close(tag)
            else:
                self._open(tag, word)

    def _read(self, text: Text) -> None:
        source = self.source[text.start : text.stop]
        html, found = read(self._place.html, source, text.start, is_shown=True)
        for value, at in found.values.items():
            written = self._attributes[at]
            is_first = value.attribute not in written
            written[value.attribute] = self.source[value.start : value.stop] if is_first else None
        for one in found.shown:
            if isinstance(one, Element):
                (self._end if one.is_end else self._begin)(one.name, self._attributes[one.start])
            elif not self._place.hidden[0]:
                self._words(self.source[one.start : one.stop])
        self._place = self._place._replace(html=html)

    def _words(self, html: str) -> None:
        words = _PADDING.sub(" ", unescape(html)).replace("\u00a0", " ")
        joined = SPACE.sub(" ", words)
        if joined[:1] == " ":
            self._place = self._place._replace(is_spaced=True)
        if bare := joined.strip(" "):
            self._show(escaped(bare))
            self._place = self._place._replace(is_spaced=joined[-1] == " ")

    def _show(self, written: str) -> None:
        place = self._place
        lead = _separator(place.breaks, place.is_spaced)
        block = self._blocks[-1] if self._blocks else None
        if block is not None and block.lead is None and block.word == "for":
            block.lead = len(self.out)
        self.out += [lead, place.prefix + written]
        self.shown += 1
        self._place = place._replace(breaks=0, is_spaced=False, prefix="")

    def _print(self, piece: Tag, tag: str) -> None:
        html = self._place.html
        if tag.startswith("{{"):
            if html.mode is Mode.TEXT and not html.is_conditional and not self._place.hidden[0]:
                self._show(words_of_markup(tag))
            self._place = self._place._replace(html=printed(html, piece.start))
        else:
            self.out.append(tag)
            self._keep_blocks()

    def _keep_blocks(self) -> None:
        """A name is set, which what follows may need."""
        for block in self._blocks:
            block.is_kept = True

    def _open(self, tag: str, word: str) -> None:
        self._blocks.append(_Block(word, self.out, self.shown, self._place))
        self.out = [tag]
        if word == "set":
            self._keep_blocks()
        if word in ("for", "set"):  # what comes before it is written before its first turn
            self._place = self._place._replace(breaks=0, is_spaced=False, prefix="")

    def _divide(self, tag: str, word: str) -> None:
        block = self._blocks[-1]
        self._end_of_branch(block)
        block.has_else |= word == "else"
        self.out.append(tag)
        self._place = block.begin
        if block.word == "for":
            block.word = "otherwise"  # its turns are over

    def _end_of_branch(self, block: _Block) -> None:
        place = self._place
        if block.word == "for" and block.lead is not None:
            begin = self.out[block.lead]
            breaks = max(place.breaks, begin.count("\n"))
            self.out[block.lead] = _separator(breaks, place.is_spaced or begin == " ")
        elif block.word == "for" and self.shown > block.shown:
            self.out.append(_separator(place.breaks, place.is_spaced))
            place = place._replace(breaks=0, is_spaced=False)
        block.ends.append(place)

    def _close(self, tag: str) -> None:
        block = self._blocks.pop()
        self._end_of_branch(block)
        begin, (written, self.out) = block.begin, ([*self.out, tag], block.outer)
        if self.shown > block.shown and block.word in ("for", "otherwise"):
            lead = "" if block.lead is None else written[block.lead]
            inside = lead.count("\n")
            self.out.append(_separator(begin.breaks - inside, begin.is_spaced and not lead))
            begin = begin._replace(breaks=min(begin.breaks, inside), is_spaced=False)
        if self.shown > block.shown or block.is_kept:
            self.out += written
        if not block.has_else and block.word in ("if", "for"):
            block.ends.append(begin)
        self._place = _merged(block.ends) if block.word != "set" else begin

    def _begin(self, name: str, attributes: dict[str, str | None]) -> None:
        place = self._place
        if place.hidden[0]:
            depth = place.hidden[1] + (name == place.hidden[0])
            self._place = place._replace(hidden=(place.hidden[0], depth))
            return
        is_hidden = name in _UNSEEN or _HIDING.search(attributes.get("style") or "") is not None
        if is_hidden and name not in _VOID:
            self._place = place._replace(hidden=(name, 1))
            return
        self._break(name)
        if name == "br":
            self._place = place._replace(breaks=min(2, place.breaks + 1), is_spaced=False)
        elif name == "li":
            self._place = self._place._replace(prefix="- ")
        elif name == "hr":
            self._show(_RULE)
            self._break(name)
        elif name in ("td", "th"):
            self._place = place._replace(is_spaced=True)
        elif name == "a":
            url = destination(attributes.get("href"))
            self._place = place._replace(link=_Link(url, self.shown))
        elif name == "img" and not is_hidden and (words := attributes.get("alt")):
            self._show_value(words)

    def _end(self, name: str, _: dict[str, str | None]) -> None:
        place = self._place
        if place.hidden[0]:
            depth = place.hidden[1] - (name == place.hidden[0])
            self._place = place._replace(hidden=(place.hidden[0], depth) if depth else ("", 0))
        elif name == "a" and place.link is not None:
            if place.link.url:
                if place.link.shown < self.shown:
                    self._place = place._replace(is_spaced=True)
                self._show(f"<{place.link.url}>")
            self._place = self._place._replace(link=None, is_spaced=place.is_spaced)
        else:
            self._break(name)

    def _break(self, name: str) -> None:
        wanted = 2 if name in _PARAGRAPHS else 1 if name in _LINES else 0
        if wanted:
            breaks = max(self._place.breaks, wanted)
            self._place = self._place._replace(breaks=breaks, is_spaced=False, prefix="")

    def _show_value(self, value: str) -> None:
        if shown := value_of(value).strip():
            self._show(shown)


def _separator(breaks: int, is_spaced: bool) -> str:
    return "\n" * breaks or (" " if is_spaced else "")


def _merged(ends: list[_Place]) -> _Place:
    """The place behind a block, wherever its branches have ended. Raises UnclearError."""
    first = ends[0]
    if any(one.shape != first.shape for one in ends):
        raise UnclearError
    return first._replace(
        breaks=max(one.breaks for one in ends),
        is_spaced=any(one.is_spaced for one in ends),
        link=first.link if all(one.link == first.link for one in ends) else None,
    )
