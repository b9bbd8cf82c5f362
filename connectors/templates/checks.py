"""Checks a template when its author saves it, and says what a message will cost, before a recipient
is skipped for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.templates.links import Links, Tracking
from connectors.templates.nesting import tags, too_nested
from connectors.templates.rendering import RenderError, Template
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
        text, position = "", 0
        for start, tag in [] if too_nested(source) else tags(source):
            text, position, is_exact = text + source[position:start], start + len(tag), False
        texts[part] = text + source[position:]
    return {**hints(channel, texts), "isExact": is_exact}


def check_template(channel: str, content: Mapping[str, Any]) -> None:
    """Raises CampaignError that names part, line and rule."""
    checked = check_content(channel, content)
    try:
        Template(channel, checked, "", _TRACKING, Links())
    except RenderError as error:
        part, _, rule = error.detail.partition(", ")
        wrong = (
            FieldError(f"content.{part}", rule)
            if part in checked
            else FieldError("content", error.detail)
        )
        raise broken(wrong) from error
