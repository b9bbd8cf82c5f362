"""The names in a template that no contact can have: each would skip every recipient, or take every
recipient for one without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from connectors.templates.language.dialect import TOKEN
from connectors.templates.language.nesting import RAW, tags
from tables.audience.recipients import FIELDS

_GIVEN = frozenset(
    [*FIELDS, "contact", "campaign", "unsubscribeUrl", "messageId", "range", "today"]
)
_PARTS = {"contact": frozenset(FIELDS), "campaign": frozenset(["name"])}
_MEMBER = re.compile(r"""\s*(?:\.\s*([^\W\d]\w*)|\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\])""")


def unknown_name(source: str, undeclared: set[str]) -> str | None:
    """Returns the first name of a source that cannot exist, as `line 3: …`, or None. `undeclared`
    are the names that the source uses and does not set, as the engine finds them.
    """
    wrong = undeclared - _GIVEN
    for start, tag in tags(source):
        if tag.startswith("{#") or RAW.match(tag):
            continue
        for name, position in _names(tag):
            if name in wrong:
                return _at(source, start + position, _explained(name))
            member = _MEMBER.match(tag, position + len(name))
            if member is None or name not in undeclared or name not in _PARTS:
                continue
            part = next(found for found in member.groups() if found is not None)
            if part not in _PARTS[name]:
                return _at(source, start + position, _explained(part, name))
    return None


def _at(source: str, position: int, rule: str) -> str:
    return f"line {source.count(chr(10), 0, position) + 1}: {rule}"


def _names(tag: str) -> Iterator[tuple[str, int]]:
    """Yields the names that are no filters, tests or parts of others, with their positions."""
    position, before = 2 + (tag[2] in "-+"), ("", "")
    while found := TOKEN.match(tag, position, len(tag) - 2):
        kind = found.lastgroup or ""
        text = found[kind]
        is_test = before[1] == "is" or before == ("is", "not")
        if kind == "name" and before[1] not in (".", "|") and not is_test:
            yield text, found.start(kind)
        before, position = (before[1], text), found.end()


def _explained(name: str, whole: str | None = None) -> str:
    spelled = name if whole is None else f"{whole}.{name}"
    if whole == "campaign":
        return f"there is no `{spelled}`; a campaign has `campaign.name`"
    return (
        f"no contact has `{spelled}`; it has {', '.join(FIELDS)},"
        f" and its own columns below attributes, as in `contact.attributes.{name}`"
    )
