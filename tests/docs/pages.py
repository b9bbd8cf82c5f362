"""A page of the documentation as its readers use it: blocks to run, examples to copy, names to look
up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block; `language` is "sh", "json", "text" or "mermaid"."""

    language: str
    text: str


def pages() -> list[Path]:
    """Every page, README and CONTRIBUTING included."""
    return [README, CONTRIBUTING, *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a page in order, of one language or of all."""
    found = [Block(match[2], match[3]) for match in _BLOCK.finditer(page.read_text())]
    return [block for block in found if language in (None, block.language)]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text())


def spans(page: Path) -> Iterator[str]:
    """Every `code span` of the prose, its line breaks as spaces."""
    for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page)):
        yield " ".join(text.split())
