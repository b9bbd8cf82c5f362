"""CSV (RFC 4180) read strictly: the header, then a record for each row, and every line accounted
for where quoting is broken.

The csv module of Python reads on through the file for a missing quote. Here such a record is
rejected line by line, and a record is not believed whose line breaks hide rows of the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from streams.errors import MalformedError
from tables.files.lines import Lines
from tables.files.rows import Blank, Rejected

DELIMITERS = ",;\t|"
MOST_COLUMNS = 2_000
_OTHERS = ":^~\x1f\xa6"  # of files that are not read, to name them
_LONGEST_HEADER = 100  # physical lines, blank ones before it included
_LONGEST_RECORD = 1 << 21  # characters
_QUOTE = '"'
_EMPTY = f"{DELIMITERS} \r\n"  # characters of a line that says nothing


class Record(NamedTuple):
    """The cells of a row, which begins in this line; `has_apostrophes` = one of them may be one
    that an export has changed.
    """

    line: int
    cells: list[str]
    has_apostrophes: bool = False


class _Pulled:
    """The physical lines as the csv module takes them: those of the record that it reads, and the
    number of the last one. Raises csv.Error when the record is longer than any row may be.
    """

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines, self.number = lines, number
        self.record, self._size = list[str](), 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self._size += len(line)
        self.record.append(line)
        if self._size > _LONGEST_RECORD:
            raise csv.Error("record limit")
        return line

    def begin(self) -> int:
        """Forget the lines of the record before; returns the line in which the next one begins."""
        self.record.clear()
        self._size = 0
        return self.number + 1


@dataclass(slots=True)
class Records:
    """The rows of a CSV file. `is_heading` tells whether a cell is one that headers have, which
    tells delimiters apart. `looks_like_row` tells whether cells are a row of their own, for example
    because one is an email address; it may be set until the first row is asked for.
    """

    lines: Lines
    is_heading: Callable[[str], bool] = lambda cell: False
    looks_like_row: Callable[[list[str]], bool] = lambda cells: False
    header: list[str] = field(init=False)
    delimiter: str = field(init=False)
    _reader: Iterator[list[str]] = field(init=False)
    _pulled: _Pulled = field(init=False)

    def __post_init__(self) -> None:
        """Reads the header. Raises MalformedError for a file without one."""
        begin = self._beginning()
        stated = _stated_delimiter(begin[0])
        head = begin[1:] if stated else begin
        self.delimiter = stated or self._likeliest("".join(head))
        self._pulled = _Pulled(chain(head, self.lines), len(begin) - len(head))
        self._reader = csv.reader(
            self._pulled,
            delimiter=self.delimiter,
            strict=True,
            skipinitialspace=_is_spaced("".join(head), self.delimiter),
        )
        try:
            self.header = self._first()
        except csv.Error as error:
            raise MalformedError("The header has a quote that is not closed.") from error
        if (fault := self.lines.taken_fault()) is not None:
            raise MalformedError(f"The header cannot be read: {fault.removeprefix('line: ')}.")
        if len(self.header) > MOST_COLUMNS:
            raise MalformedError(f"The header has more than {MOST_COLUMNS:,} columns.")

    def __iter__(self) -> Iterator[Record | Rejected | Blank]:
        while True:
            line = self._pulled.begin()
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.lines.taken_fault()
                yield from self._broken(line, str(error))
                continue
            fault = self.lines.taken_fault()
            if fault is not None:
                yield Rejected(line, fault)
            elif len(self._pulled.record) > 1 and self._hides_rows():
                yield from self._swallowed(
                    line, "line: a quote is opened here, and the rows below are inside it"
                )
            elif any(map(str.strip, cells)):
                pulled = self._pulled.record
                yield Record(line, cells, len(pulled) > 1 or "'" in pulled[0])
            else:
                yield Blank(line)

    def other_delimiter(self) -> str | None:
        """The character that seems to separate the cells of a header of one cell."""
        if len(self.header) > 1:
            return None
        (cell,) = self.header
        return next((mark for mark in _OTHERS if mark in cell), None)

    def _beginning(self) -> list[str]:
        """The physical lines up to the end of the header, which is the first row that says
        anything.
        """
        begin, size, quotes, says = list[str](), 0, 0, False
        for line in self.lines:
            begin.append(line)
            size += len(line)
            if len(begin) == 1 and _stated_delimiter(line):
                continue
            quotes += line.count(_QUOTE)
            says = says or bool(line.strip(_EMPTY))
            if size > _LONGEST_RECORD or len(begin) > _LONGEST_HEADER:
                raise MalformedError(
                    f"The header does not end within {_LONGEST_HEADER} lines and "
                    f"{_LONGEST_RECORD:,} characters, as if a quote in it were not closed."
                )
            if says and quotes % 2 == 0:
                return begin
        if not says:
            raise MalformedError("The file is empty: it has neither a header nor a row.")
        return begin

    def _likeliest(self, head: str) -> str:
        """The delimiter that makes most known headings of the header, and of those the most
        frequent one.
        """
        bare = _outside_quotes(head)

        def merit(delimiter: str) -> tuple[int, int]:
            cells = next(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), [])
            known = sum(map(self.is_heading, cells)) if len(cells) > 1 else 0
            return known, bare.count(delimiter)

        return max(DELIMITERS, key=merit)

    def _first(self) -> list[str]:
        for cells in self._reader:
            if any(map(str.strip, cells)):
                return cells
        raise MalformedError("The file is empty: it has neither a header nor a row.")

    def _hides_rows(self) -> bool:
        """Whether every line of the record behind its first is a row of the file by itself."""
        width = len(self.header)
        for text in self._pulled.record[1:]:
            (cells, *_) = [*csv.reader([text.rstrip("\r\n")], delimiter=self.delimiter), []]
            if width < 2 or len(cells) != width or not self.looks_like_row(cells):
                return False
        return True

    def _broken(self, line: int, error: str) -> Iterator[Rejected | Blank]:
        last = self._pulled.number
        if "field limit" in error:
            reason = "a field of more than 131,072 characters"
            if last > line:
                reason = "a quote is opened here and not closed within 131,072 characters"
        elif "record limit" in error:
            reason = f"a row of more than {_LONGEST_RECORD:,} characters"
        elif "end of data" in error:
            reason = "a quote is opened here and never closed"
        elif last > line:
            reason = f"a quote is opened here and closed in line {last}, where text follows it"
        else:
            reason = "text follows a closing quote; within quotes, a quote is doubled"
        yield from self._swallowed(line, f"line: {reason}")

    def _swallowed(self, line: int, reason: str) -> Iterator[Rejected | Blank]:
        yield Rejected(line, reason)
        behind = f"line: inside the quote that is opened in line {line}"
        for number, text in enumerate(self._pulled.record[1:], line + 1):
            yield Rejected(number, behind) if text.strip() else Blank(number)


def _stated_delimiter(line: str) -> str | None:
    """The delimiter of a first line such as `sep=;`, which Excel writes and reads."""
    name, _, mark = line.strip("\ufeff\r\n ").partition("=")
    return mark if name.lower() == "sep" and len(mark) == 1 and mark in DELIMITERS else None


def _is_spaced(head: str, delimiter: str) -> bool:
    """Whether a space follows every delimiter of the header, as people write by hand; then it
    belongs to no cell.
    """
    _, *others = _outside_quotes(head).split(delimiter)
    return bool(others) and all(cell.startswith(" ") for cell in others)


def _outside_quotes(text: str) -> str:
    return "".join(text.split(_QUOTE)[::2])
