"""Cells of files that spreadsheets open: what an export writes, and what an import makes of it.

A cell that begins like a formula gets an apostrophe in front (OWASP, "CSV Injection"). So that an
import can take exactly that away again, a cell that already looks so gets one more:
`plain(neutral(text)) == text` for every text.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def neutral(text: str) -> str:
    """The text as a cell that a spreadsheet does not calculate."""
    return f"'{text}" if _FORMULA.match(text) else text


def plain(cell: str) -> str:
    """The text that `neutral` made the cell of; every other cell is its text."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell
