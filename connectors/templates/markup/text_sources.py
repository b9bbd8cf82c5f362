"""Pieces of an HTML template as pieces of a text template: tags, words and destinations."""

from __future__ import annotations

import re
from html import unescape

from connectors.templates.markup.destinations import absolute, attribute_value
from connectors.templates.markup.sources import Text, pieces, word_of

FILTER = "_as_text"  # of what is printed with its markup
SPACE = re.compile(r"[\t\n\x0c\r ]+")
_MARKUP = re.compile(r"\|\s*(?:safe|e|escape)\b|\bfilter\s+(?:safe|e|escape)\b")
_IN_HTML = re.compile(r"_in_html(?:_bare)?\(")
_OPENING = re.compile(r"\{(?=[{%#]|\Z)")
_TAG = re.compile(r"<[^>]*>")


def without_trimming(tag: str) -> str:
    """Returns the tag without the signs that take white space away: the pieces have lost it."""
    inner = tag[3:] if tag[2] in "-+" else tag[2:]
    inner = inner[:-3] if inner[-3] in "-+" else inner[:-2]
    return f"{tag[:2]}{inner}{tag[-2:]}"


def words_of_markup(tag: str) -> str:
    """Returns a tag that prints what HTML would show of it: `safe` prints markup."""
    return f"{{% filter {FILTER} %}}{tag}{{% endfilter %}}" if _MARKUP.search(tag) else tag


def as_text(value: str) -> str:
    """Returns the words of HTML that is printed as it is."""
    return SPACE.sub(" ", unescape(_TAG.sub(" ", "".join([value])))).strip()


def escaped(text: str) -> str:
    """Returns a template that prints the text, whatever it spells."""
    return _OPENING.sub('{{ "{" }}', text)


def value_of(source: str) -> str:
    """Returns the value of an attribute as a template of text."""
    made = ""
    for piece in pieces(source):
        written = source[piece.start : piece.stop]
        if isinstance(piece, Text):
            made += escaped(SPACE.sub(" ", attribute_value(written)))
        else:
            made += _IN_HTML.sub("_in_text(", without_trimming(written))
    return made


def destination(source: str | None) -> str:
    """Returns where a link leads, as a template; empty for what is no address to be shown."""
    if source is None or not _is_balanced(source):
        return ""
    if "{" not in source:
        value = attribute_value(source).strip()
        if (url := absolute(value)) is not None:
            return escaped(url)
        is_mail = value[:7].lower() == "mailto:"
        return escaped(value[7:].partition("?")[0]) if is_mail else ""
    return value_of(source).strip()


def _is_balanced(source: str) -> bool:
    """Whether the blocks that begin in a part of a template end in it."""
    depth = 0
    for piece in pieces(source) if "{" in source else ():
        word = word_of(source, piece)
        if word is not None:
            if word in ("elif", "else") and depth == 0:
                return False
            depth += -1 if word.startswith("end") else word not in ("elif", "else")
            if depth < 0:
                return False
    return depth == 0
