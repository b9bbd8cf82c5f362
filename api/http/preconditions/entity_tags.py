"""Entity tags (RFC 9110, section 8.8.3): spelled for a row, read from a header, compared."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from streams.errors import MalformedError
from tables.models import Base

_SIZE = 12  # bytes of a digest: 16 characters
# An element of a list, which may be empty (RFC 9110, section 5.6.1.2), and what ends it.
_ELEMENT = re.compile(r'[ \t]*(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(,|\Z)')


@dataclass(frozen=True)
class TagList:
    """The tags that a header names. `is_any` stands for `*`."""

    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()
    is_any: bool = False

    @property
    def versions(self) -> frozenset[int]:
        """The numbers among the strong tags: campaigns count their versions."""
        numbers = (tag.strip('"') for tag in self.strong)
        return frozenset(
            int(number) for number in numbers if re.fullmatch("0|[1-9][0-9]{0,8}", number)
        )

    def holds(self, current: str | None) -> bool:
        """Whether one of the tags is the current one, compared strongly: a weak tag is no tag of
        ours (section 8.8.3.2). None: there is nothing, which not even `*` names.
        """
        return current is not None and (self.is_any or current in self.strong)

    def holds_weakly(self, current: str | None) -> bool:
        """The same, compared weakly."""
        return current is not None and (self.holds(current) or current in self.weak)

    def __str__(self) -> str:
        """The tags as an error names them: three of them at most."""
        if self.is_any:
            return "*"
        named = [*sorted(self.strong), *(f"W/{tag}" for tag in sorted(self.weak))]
        return ", ".join(tag[:40] for tag in named[:3]) + (", …" if len(named) > 3 else "")


def tag_list(name: str, lines: Sequence[str]) -> TagList | None:
    """The tags of a header, given as the values of its lines; None when it is not there. Raises
    MalformedError for what is neither `*` nor a list of tags.
    """
    if not lines:
        return None
    value = ", ".join(lines).strip(" \t")
    if value == "*":
        return TagList(is_any=True)
    strong, weak, position = set[str](), set[str](), 0
    while position < len(value):
        found = _ELEMENT.match(value, position)
        if found is None:
            raise _malformed(name)
        if found[2]:
            (weak if found[1] else strong).add(found[2])
        position = found.end()
    if not strong and not weak:
        raise _malformed(name)
    return TagList(frozenset(strong), frozenset(weak))


def _malformed(name: str) -> MalformedError:
    return MalformedError(f'{name} must be * or a list of entity tags, such as "3" or "3", "4".')


def row_tag(row: Base) -> str:
    """The tag of a row of PostgreSQL: a digest of all its columns (BLAKE2b, RFC 7693, 96 bits)
    but those that hold what was found out about the others.

    It changes with whatever changes the row, a service or an import included, and no writer has to
    think of it.
    """
    written = json.dumps(row.stated(), sort_keys=True, default=str).encode()
    return f'"{urlsafe_b64encode(blake2b(written, digest_size=_SIZE).digest()).decode()}"'
