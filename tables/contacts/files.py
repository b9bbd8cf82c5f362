"""Files of contacts, CSV or NDJSON, as a stream of rows and of lines that are not usable; memory
does not grow with the file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import msgspec

from streams.errors import MalformedError
from tables.contacts.fields import ContactRow, column_of, contact_row

Format = Literal["csv", "ndjson"]
LONGEST_LINE = 1 << 20  # characters
_DELIMITERS = ",;\t"
_decode = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that did not go in, and the reason, which names field and rule, never a value."""

    line: int
    reason: str


class Lines:
    """The physical lines of a file opened with `errors="surrogateescape"` and `newline=""`; counts
    them and remembers their faults.

    A line over `LONGEST_LINE` is cut, so that a file without line ends cannot fill the memory.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number, self.characters = 0, 0
        self._fault: str | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        if self.number == 0:
            # the byte order mark that spreadsheets write
            line = line.removeprefix("\ufeff") or "\n"
        self.number += 1
        self.characters += len(line)
        if len(line) == LONGEST_LINE and line[-1] != "\n":
            self._fault = f"line: longer than {LONGEST_LINE:,} characters"
            while (rest := self._file.readline(LONGEST_LINE)) and rest[-1] != "\n":
                self.characters += len(rest)
            line = "\n"
        elif "\0" in line:
            self._fault = "line: holds a NUL character"
        elif not line.isascii():
            try:
                line.encode()
            except UnicodeEncodeError:
                self._fault = "line: not UTF-8"
        return line

    def taken_fault(self) -> str | None:
        """The fault of the lines read since the last call; None when there is none."""
        fault, self._fault = self._fault, None
        return fault


def read_contacts(lines: Lines, kind: Format) -> Iterator[ContactRow | Rejected]:
    """Every row of the file, in order. Raises MalformedError for CSV without a usable header."""
    return _read_csv(lines) if kind == "csv" else _read_ndjson(lines)


def _read_ndjson(lines: Lines) -> Iterator[ContactRow | Rejected]:
    for text in lines:
        fault = lines.taken_fault()
        if fault is not None:
            yield Rejected(lines.number, fault)
        elif text.strip():
            try:
                members = _decode(text.encode())
            except (msgspec.MsgspecError, RecursionError):
                yield Rejected(lines.number, "line: not a JSON object")
            else:
                yield row_of(lines.number, members)


def row_of(line: int, members: Any) -> ContactRow | Rejected:
    """A contact given as a JSON object, in a file or by another service."""
    try:
        return contact_row(line, *_sorted_out(members))
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:
        return Rejected(
            line,
            "line: not a JSON object"
            if isinstance(error, msgspec.MsgspecError | RecursionError)
            else str(error),
        )


def _sorted_out(members: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Fields by column, and attributes; `attributes` itself may hold some, as in the API."""
    if not isinstance(members, dict):
        raise ValueError("line: not a JSON object")
    given = members.pop("attributes", None) or {}
    if not isinstance(given, dict):
        raise ValueError("attributes: not an object")
    fields, attributes = dict[str, str](), dict[str, Any](given)
    for name, value in members.items():
        if value is None:
            continue
        if (column := column_of(name)) is None:
            attributes[name] = value
        elif isinstance(value, str):
            fields[column] = value
        elif isinstance(value, int) and not isinstance(value, bool):
            fields[column] = str(value)
        else:
            raise ValueError(f"{name}: not a text")
    return fields, attributes


def _read_csv(lines: Lines) -> Iterator[ContactRow | Rejected]:
    header = next(lines, "")
    delimiter = max(_DELIMITERS, key=header.count)
    columns, attributes = _columns(next(csv.reader([header], delimiter=delimiter), []))
    width, reader = len(columns) + len(attributes), csv.reader(lines, delimiter=delimiter)
    while True:
        line = lines.number + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            lines.taken_fault()
            yield Rejected(line, "line: not CSV, or a field of more than 131,072 characters")
            continue
        if (fault := lines.taken_fault()) is None and not values:
            continue
        try:
            if fault is not None:
                raise ValueError(fault)
            if len(values) != width:
                raise ValueError(f"line: {len(values)} fields where the header has {width}")
            fields = {column: values[position] for column, position in columns.items()}
            yield contact_row(
                line, fields, {name: values[at] for name, at in attributes.items() if values[at]}
            )
        except ValueError as error:
            yield Rejected(line, str(error))


def _columns(header: Sequence[str]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Positions of the columns and of the attributes."""
    columns, attributes = dict[str, int](), dict[str, int]()
    for position, heading in enumerate(header):
        name = heading.strip()
        column = column_of(name)
        target, key = (
            (attributes, name.removeprefix("attributes.")) if column is None else (columns, column)
        )
        if not key:
            raise MalformedError(f"The header's column {position + 1} has no name.")
        if key in target:
            raise MalformedError(f"The header names {key} twice.")
        target[key] = position
    if not {"id", "external_id", "email", "phone", "push_token"} & columns.keys():
        raise MalformedError("The header needs one of id, externalId, email, phone and pushToken.")
    return columns, attributes
