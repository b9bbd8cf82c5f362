"""Checks a template when its author saves it, and says what a message will cost, before a recipient
is skipped for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from connectors.templates.language.foreign import foreign_placeholders
from connectors.templates.language.nesting import tags, too_nested
from connectors.templates.links import Links, Tracking
from connectors.templates.markup.sources import Text, parse
from connectors.templates.names import unknown_name
from connectors.templates.rendering import MAX_MESSAGE, MAX_RENDERED, RenderError, Template
from streams.errors import FieldError, broken
from tables.channels import hints
from tables.directory.templates import check_content

# Compiled as for a campaign that tracks everything: a template that passes here passes there.
_TRACKING = Tracking("https://campaigns.invalid", opens=True, clicks=True)


def template_hints(channel: str, content: Mapping[str, str]) -> dict[str, Any]:
    """Returns `hints` of the content without its tags. `isExact` says that there are no tags, so
    every recipient gets a message of this size.
    """
    texts, is_exact = dict[str, str](), True
    for part, source in content.items():
        pieces, position = list[str](), 0
        for start, tag in [] if too_nested(source) else tags(source):
            pieces.append(source[position:start])
            position, is_exact = start + len(tag), False
        texts[part] = "".join([*pieces, source[position:]])
    return {**hints(channel, texts), "isExact": is_exact}


def template_warnings(content: Mapping[str, str]) -> list[str]:
    """Returns what is probably not meant, as `html, line 3: …`: placeholders of other systems,
    which would be sent as they are.
    """
    return [
        f"{part}, {warning}"
        for part, source in content.items()
        for warning in foreign_placeholders(source)
    ]


def check_template(channel: str, content: Mapping[str, Any]) -> None:
    """Raises CampaignError that names part, line and rule. A template that no recipient could get
    is refused, too: a name that no contact can have, a message that is always too large.
    """
    checked = check_content(channel, content)
    try:
        template = Template(channel, checked, "", _TRACKING, Links())
        for part in template.written:
            if unknown := unknown_name(checked[part], template.undeclared(part)):
                raise RenderError(f"{part}, {unknown}")
        _check_size(checked, template.written)
    except RenderError as error:
        part, _, rule = error.detail.partition(", ")
        wrong = (
            FieldError(f"content.{part}", rule)
            if part in checked
            else FieldError("content", error.detail)
        )
        raise broken(wrong) from error


def _check_size(content: Mapping[str, str], parts: Iterable[str]) -> None:
    """Refuses a template whose text outside of its blocks is too much for one message already."""
    texts = [
        content[part][node.start : node.stop]
        for part in parts
        for node in parse(content[part])
        if isinstance(node, Text)
    ]
    characters = sum(map(len, texts))
    if characters > MAX_RENDERED:
        raise RenderError(
            f"every message has {characters:,} characters or more, the limit is {MAX_RENDERED:,}"
        )
    size = sum(len(msgspec.json.encode(text)) - 2 for text in texts)
    if size > MAX_MESSAGE:
        raise RenderError(f"every message has {size:,} bytes or more, the limit is {MAX_MESSAGE:,}")
