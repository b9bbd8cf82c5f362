"""What an export adds to a cell, an import takes away."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from tables.files.cells import neutral, plain

CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.text("'=+-@\t\r\n \",;a5", max_size=6),
)


@given(CELLS)
def test_a_cell_comes_back_as_it_was_and_calculates_nothing(text: str) -> None:
    assert plain(neutral(text)) == text
    assert not neutral(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@given(CELLS)
def test_a_cell_that_no_export_made_loses_an_apostrophe_before_a_formula_only(cell: str) -> None:
    if plain(cell) != cell:
        assert cell.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert plain("'123") == "'123"
    assert plain("'tis") == "'tis"
    assert plain("'+12025550143") == "+12025550143"


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=5))
def test_rows_of_any_cells_survive_the_file(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([neutral(cell) for cell in row] for row in rows)
    read = csv.reader(io.StringIO(out.getvalue(), newline=""), strict=True)
    assert [[plain(cell) for cell in row] for row in read] == rows
