"""Bounds how deeply a template can nest, before the engine sees it: MiniJinja's parser recurses,
and a long chain ends the process.

`{{ ----…1 }}` with 12,000 signs overflows the machine's stack of 8 MB (3.1.0). The engine bounds
brackets and blocks by itself, but not chains of operators, filters and `elif`. A chain cannot be
longer than its tag, so the length of a tag and the number of block tags are bounded here. Tags are
found exactly as the engine's lexer finds them; otherwise a chain could hide in apparent text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_TAG = 1000  # characters
MAX_BLOCK_TAGS = 1000
_OPENING = re.compile(r"\{[{%#]")
RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
END_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_INSIDE = re.compile(
    r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|["']|[-+]?(?:%\}|\}\})|[(\[{]|[)\]}]""", re.DOTALL
)


def too_nested(source: str) -> str | None:
    """Returns why the engine must not be given this source, as `line 3: …`, or None when it may."""
    position, blocks, line = 0, 0, 1
    while opening := _OPENING.search(source, position):
        end = _end(source, opening.start(), opening.group())
        line += source.count("\n", position, opening.start())
        if end < 0:
            return f"line {line}: a tag or comment is not closed{_hint(source, opening)}"
        if (
            opening.group() != "{#"
            and end - opening.start() > MAX_TAG
            and not RAW.match(source, opening.start())
        ):
            length = end - opening.start()
            return f"line {line}: a tag has {length:,} characters, the limit is {MAX_TAG:,}"
        blocks += opening.group() == "{%"
        if blocks > MAX_BLOCK_TAGS:
            return f"line {line}: there are more than {MAX_BLOCK_TAGS:,} block tags"
        line += source.count("\n", opening.start(), end)
        position = end
    return None


def _hint(source: str, opening: re.Match[str]) -> str:
    following = source[opening.end() : opening.end() + 1]
    if opening.group() == "{#" and (following.isalpha() or following in "-_"):
        return ": `{#` begins a comment; where it is CSS, write `{ #`"
    if following == "{":
        return ": `{{{ … }}}` of Handlebars is `{{ … | safe }}` here"
    return ""


def tags(source: str) -> Iterator[tuple[int, str]]:
    """Yields the position and the text of each tag, comment or raw block of a source that is not
    `too_nested`.
    """
    position = 0
    while opening := _OPENING.search(source, position):
        position = _end(source, opening.start(), opening.group())
        yield opening.start(), source[opening.start() : position]


def _end(source: str, start: int, opening: str) -> int:
    """Returns the position behind the comment, raw block (with all that is in it) or tag that
    begins at `start`; -1 when it does not end.
    """
    if opening == "{#":
        comment = source.find("#}", start + 2)
        return comment + 2 if comment >= 0 else -1
    if raw := RAW.match(source, start):
        found = END_RAW.search(source, raw.end())
        return found.end() if found else -1
    return _end_of_tag(source, start + 2, "}}" if opening == "{{" else "%}")


def _end_of_tag(source: str, position: int, closing: str) -> int:
    """Returns the position behind the tag, or -1. Its end marker counts only outside strings and
    brackets.
    """
    balance = 0
    while token := _INSIDE.search(source, position):
        text = token.group()
        if text in ('"', "'"):
            return -1  # a string that does not end
        if text[0] in "\"'":
            position = token.end()
        elif balance == 0 and text.endswith(closing):
            return token.end()
        else:
            bracket = (
                token.start() + len(text) - len(text.lstrip("-+%"))
            )  # of what only looks like an end marker, one bracket counts
            balance += 1 if source[bracket] in "([{" else -1
            if balance < 0:
                return -1
            position = bracket + 1
    return -1
