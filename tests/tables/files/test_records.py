"""Strict CSV: delimiters, headers, quoting, and the account of every line."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import MalformedError
from tables.files.lines import Lines
from tables.files.records import Record, Records
from tables.files.rows import Blank, Rejected


def records(content: str) -> Records:
    read = Records(Lines(io.BytesIO(content.encode())))
    read.looks_like_row = lambda cells: "@" in cells[0]
    return read


def rejected(content: str) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in records(content) if isinstance(one, Rejected)]


def cells(content: str) -> list[list[str]]:
    return [one.cells for one in records(content) if isinstance(one, Record)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_each_delimiter_and_line_end_is_read(delimiter: str, end: str, mark: str) -> None:
    content = mark + end.join(delimiter.join(row) for row in (("email", "n"), ("a@b.c", "1")))
    assert records(content).header == ["email", "n"]
    assert cells(content) == [["a@b.c", "1"]]


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ('"a, b";email\n', ["a, b", "email"]),
        ('"Phone\nnumber, mobile";email\nx;y\n', ["Phone\nnumber, mobile", "email"]),
        ("sep=;\r\nemail;a,b,c\n", ["email", "a,b,c"]),
        ("\ufeffSEP=|\nemail|x\n", ["email", "x"]),
        ("\n\n , \nemail,x\n", ["email", "x"]),
        ("email\n", ["email"]),
        ("email,name,", ["email", "name", ""]),
        ('"email"', ["email"]),
    ],
)
def test_the_header_is_read_as_the_rows_are(content: str, header: list[str]) -> None:
    assert records(content).header == header


def test_of_delimiters_the_one_that_makes_headings_counts() -> None:
    for content in ("Email\tName, full, or what\n", "x,y,z;Email\n", "Email|a;b;c\n"):
        read = Records(Lines(io.BytesIO(content.encode())), lambda cell: cell == "Email")
        assert "Email" in read.header and len(read.header) == 2


def test_a_space_behind_every_delimiter_belongs_to_no_cell() -> None:
    content = 'email, first name, note\na@b.c, "Ann, B", x\nb@b.c,Bob, "y ""z"""\n'
    assert records(content).header == ["email", "first name", "note"]
    assert cells(content) == [["a@b.c", "Ann, B", "x"], ["b@b.c", "Bob", 'y "z"']]
    assert cells("email,note\na@b.c, x\n") == [["a@b.c", " x"]]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "empty"),
        ("\n\r\n  \n;;\n", "empty"),
        ("sep=,\n", "empty"),
        ('"email,name\na@b.c,x\n', "quote that is not closed"),
        ('"email,name\n' + "a@b.c,x\n" * 200, "does not end within 100 lines"),
        (("," * 1_000_000 + "\n") * 3, "does not end within 100 lines"),
        ("e\0mail\n", "holds a NUL character"),
        ('"email"x,name\na@b.c,x\n', "quote that is not closed"),
        ("a," * 2_000 + "email\n", "more than 2,000 columns"),
    ],
)
def test_a_file_without_a_header_is_refused(content: str, named: str) -> None:
    with pytest.raises(MalformedError) as refused:
        records(content)
    assert named in refused.value.detail


def test_a_quote_that_is_never_closed_is_an_error_and_the_rows_behind_it_are_counted() -> None:
    content = 'email,n\na@b.c,1\nb@b.c,"unfinished\nc@b.c,3\n\nd@b.c,4\n'
    found = list(records(content))
    assert found == [
        Record(2, ["a@b.c", "1"]),
        Rejected(3, "line: a quote is opened here and never closed"),
        Rejected(4, "line: inside the quote that is opened in line 3"),
        Blank(5),
        Rejected(6, "line: inside the quote that is opened in line 3"),
    ]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        # the next quoted cell ends the quote, and its text stands behind it
        ('e,n\nb@b.c,"open\nc@b.c,3\nd@b.c,"x"\nz@b.c,1\n', [2, 3, 4]),
        # two rows with the same fault: by its grammar, one cell of two lines
        ('e,n\nb@b.c,"open\nc@b.c,3\nd@b.c,"\nz@b.c,1\n', [2, 3, 4]),
        ('e,n\nb@b.c,"open\nd@b.c,"\nz@b.c,1\n', [2, 3]),
        ('e,n\n"b@b.c"x,1\nz@b.c,1\n', [2]),
        ('e,n\n"b@b.c,1\nz@b.c,1\n', [2, 3]),
        ('e,n\nb@b.c,"' + "x" * 140_000 + '"\nz@b.c,1\n', [2]),
        ('e,n\nb@b.c,"open\n' + "c@b.c,yyyyyyyyyy\n" * 9_000 + "z@b.c,1\n", None),
    ],
)
def test_nobody_vanishes_in_a_quote(content: str, lines: list[int] | None) -> None:
    found = list(records(content))
    said = [one.line for one in found if isinstance(one, Rejected)]
    if lines is not None:
        assert said == lines
    rows = content.count("\n") - 1
    assert len(found) == rows
    assert not [one for one in found if isinstance(one, Record) and "\n" in "".join(one.cells)]


def test_a_row_without_end_is_cut_off_and_the_rest_is_accounted_for() -> None:
    endless = '"x\n",' * 500_000  # cells of any number: the csv module alone would keep them all
    found = list(records(f"email,n\n{endless}\nz@b.c,1\n"))
    assert found[0] == Rejected(2, "line: a row of more than 2,097,152 characters")
    assert len(found) == 500_002


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ('a@b.c,5" screen', ["a@b.c", '5" screen']),
        ('a@b.c,Ann "Annie" Lee', ["a@b.c", 'Ann "Annie" Lee']),
        ('a@b.c,"Ann ""Annie"" Lee"', ["a@b.c", 'Ann "Annie" Lee']),
        ('a@b.c,"two\nlines"', ["a@b.c", "two\nlines"]),
        ('a@b.c,"two\r\nlines, and ""more"""', ["a@b.c", 'two\r\nlines, and "more"']),
        ('a@b.c,"write to bob@b.c,\nor call"', ["a@b.c", "write to bob@b.c,\nor call"]),
        ('"a@b.c","\n\n\n"', ["a@b.c", "\n\n\n"]),
        ("a@b.c", ["a@b.c"]),
        ("a@b.c,,,", ["a@b.c", "", "", ""]),
        ("a@b.c, ", ["a@b.c", " "]),
    ],
)
def test_quotes_and_line_breaks_in_cells_are_kept(row: str, kept: list[str]) -> None:
    content = f"email,note\n{row}\nz@b.c,1\n"
    assert cells(content) == [kept, ["z@b.c", "1"]]


@pytest.mark.parametrize("row", ["", ",", " ", " , ", "\u00a0,\t", '"",""', '" "'])
def test_a_row_without_content_is_blank(row: str) -> None:
    assert list(records(f"email,n\n{row}\nz@b.c,1\n")) == [Blank(2), Record(3, ["z@b.c", "1"])]


@given(st.lists(st.text('a@,;"\n\r x', max_size=12), max_size=12))
def test_every_line_is_accounted_for(rows: list[str]) -> None:
    """Each physical line belongs to exactly one record, rejection or blank row."""
    content = "email,n\n" + "\n".join(rows) + "\n"
    found = list(records(content))
    physical = list(io.StringIO(content, newline=""))
    starts = [one.line for one in found]
    assert starts == sorted(set(starts))
    assert all(2 <= line <= len(physical) for line in starts)
    spans = dict(zip(starts, [*starts[1:], len(physical) + 1], strict=True))
    for one in found:
        if isinstance(one, Rejected):
            assert spans[one.line] == one.line + 1 or "inside" not in one.reason
        if isinstance(one, Record):
            text = "".join(physical[one.line - 1 : spans[one.line] - 1])
            assert one.cells == next(csv.reader(io.StringIO(text, newline="")), [])


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), max_size=6))
def test_what_the_csv_module_writes_is_read_as_it_was(rows: list[list[str]]) -> None:
    rows = [[f"a@b.c{one}", two] for one, two in rows]
    if any(
        "\0" in cell or "\ud800" <= max(cell, default="") <= "\udfff"
        for row in rows
        for cell in row
    ):
        return
    out = io.StringIO()
    csv.writer(out).writerows([["email", "n"], *rows])
    try:
        raw = out.getvalue().encode()
    except UnicodeEncodeError:
        return
    read = [one for one in Records(Lines(io.BytesIO(raw))) if isinstance(one, Record)]
    assert [one.cells for one in read] == rows
