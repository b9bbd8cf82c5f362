"""Files of contacts, CSV or NDJSON, as a stream of rows, of warnings, and of lines that are not
usable; memory does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from streams.errors import MalformedError
from tables.contacts.fields import ContactRow, column_of, contact_row
from tables.contacts.headings import IDENTITIES, Headings, Use, headings
from tables.contacts.synonyms import field_of, folded_heading
from tables.contacts.usable_rows import Given, usable_row
from tables.files.cells import plain
from tables.files.lines import Lines
from tables.files.records import Record, Records
from tables.files.rows import Blank, Rejected, Warned

Format = Literal["csv", "ndjson"]
#: What a line of a file becomes; the warnings of a row stand before it.
Item = ContactRow | Rejected | Warned | Blank
_decode = msgspec.json.decode
_NO_OBJECT = "line: not a JSON object"


@dataclass(slots=True)
class ContactFile:
    """A file of contacts that is read once. `mapping` has a field for some folded headings of a
    CSV (`headings.targets`), `country` is that of national phone numbers. `uses` and `notes` say
    what was found in the header, from the first item on.
    """

    lines: Lines
    kind: Format
    mapping: Mapping[str, str] = field(default_factory=dict)
    country: str | None = None
    uses: list[Use] = field(default_factory=list, init=False)
    notes: list[str] = field(default_factory=list, init=False)

    def __iter__(self) -> Iterator[Item]:
        """Every row, in order. Raises MalformedError for a file that is something else, or CSV
        without a usable header.
        """
        return self._csv() if self.kind == "csv" else self._ndjson()

    def _ndjson(self) -> Iterator[Item]:
        is_first = True
        for text in self.lines:
            fault = self.lines.taken_fault()
            if fault is not None:
                yield Rejected(self.lines.number, fault)
            elif not text.strip():
                yield Blank(self.lines.number)
            else:
                if is_first:
                    _refuse_other_json(text.strip())
                    is_first = False
                try:
                    members = _decode(text.encode())
                except (msgspec.MsgspecError, RecursionError):
                    yield Rejected(self.lines.number, _NO_OBJECT)
                else:
                    yield from rows_of(self.lines.number, members, self.country)

    def _csv(self) -> Iterator[Item]:
        records = Records(self.lines, self._is_heading)
        found = self._understood(records)
        self.uses, self.notes = found.uses, found.notes()
        records.looks_like_row = _identifies(found)
        for record in records:
            if not isinstance(record, Record):
                yield record
            elif (row := _whole_row(record, found)) is not None:
                yield row
            else:
                yield from self._usable_row(record, found)

    def _usable_row(self, record: Record, found: Headings) -> Iterator[Item]:
        cells, width = record.cells, len(found.uses)
        if any(map(str.strip, cells[width:])):
            reason = f"line: {len(cells)} fields where the header has {width}"
            yield Rejected(record.line, reason)
            return
        cells = [*map(plain, cells), *[""] * (width - len(cells))]
        given = {
            column: [(found.uses[place].column, cells[place]) for place in places]
            for column, places in found.fields.items()
        }
        attributes = {name: cells[at] for name, at in found.attributes.items() if cells[at]}
        yield from usable_row(record.line, given, attributes, self.country)

    def _is_heading(self, cell: str) -> bool:
        return field_of(cell) is not None or folded_heading(cell) in self.mapping

    def _understood(self, records: Records) -> Headings:
        begin = records.header[0].lstrip()
        if begin.startswith(("{", "[")):
            raise MalformedError("The file is JSON, not CSV: send it as NDJSON.")
        try:
            return headings(records.header, self.mapping)
        except MalformedError:
            if (mark := records.other_delimiter()) is None:
                raise
            raise MalformedError(
                f"The header seems to be separated by {mark!r}; "
                "commas, semicolons, tabs and vertical bars are read."
            ) from None


def _whole_row(record: Record, found: Headings) -> ContactRow | None:
    """The contact of a record without any fault, as nearly all are: `usable_row` takes three times
    as long. None = look closer.
    """
    cells = record.cells
    if len(cells) != len(found.uses) or not all(cells[at] for at in found.doubled):
        return None
    if record.has_apostrophes:
        cells = list(map(plain, cells))
    fields = {column: cells[places[0]] for column, places in found.fields.items()}
    attributes = {name: cells[at] for name, at in found.attributes.items() if cells[at]}
    try:
        return contact_row(record.line, fields, attributes)
    except ValueError:
        return None


def rows_of(line: int, members: Any, country: str | None = None) -> Iterator[Item]:
    """A contact given as a JSON object, in a file or by another service: as `usable_row`."""
    if not isinstance(members, dict):
        yield Rejected(line, _NO_OBJECT)
        return
    fields, attributes = dict[str, Given](), dict[str, Any]()
    warned = list[Warned]()
    for name, value in members.items():
        if value is None:
            continue
        if name == "attributes":
            if isinstance(value, dict):
                attributes = {**value, **attributes}
            elif value:
                warned.append(Warned(line, name, "attributes: not an object"))
        elif (column := column_of(name)) is None:
            attributes[name] = value
        elif isinstance(value, str | int) and not isinstance(value, bool):
            fields[column] = [(name, str(value))]
        else:
            warned.append(Warned(line, name, f"{name}: not a text"))
    try:
        found = list(usable_row(line, fields, attributes, country))
    except (msgspec.MsgspecError, RecursionError):
        yield Rejected(line, _NO_OBJECT)
        return
    if not isinstance(found[0], Rejected):
        yield from warned
    elif warned and found[0].reason.startswith("row:"):
        found = [Rejected(line, warned[0].reason)]
    yield from found


def _refuse_other_json(text: str) -> None:
    if text.startswith("["):
        raise MalformedError(
            "The file is one JSON array; NDJSON has an object on each line, without commas."
        )
    if text == "{":
        raise MalformedError(
            "The file is JSON over several lines; NDJSON has a whole object on each line."
        )


def _identifies(found: Headings) -> Callable[[list[str]], bool]:
    """Whether cells of a row hold something that could identify a contact by its address."""
    emails = found.fields.get("email", [])
    others = [place for name in IDENTITIES for place in found.fields.get(name, [])]

    def looks_like_row(cells: list[str]) -> bool:
        if emails:
            return any("@" in cells[place] for place in emails)
        return any(cells[place].strip() for place in others)

    return looks_like_row
