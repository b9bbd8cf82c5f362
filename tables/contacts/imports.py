"""The import of contacts: a file of any length becomes contacts and members of a segment, a few
thousand rows a transaction.

A crash leaves whole chunks; importing the file again updates those and goes on. Rows take effect in
the order of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never
from uuid import UUID

import msgspec

from tables.contacts.fields import ADDRESSES, ContactRow
from tables.contacts.files import Item
from tables.contacts.merge import Written, write_rows
from tables.database.connection import Database
from tables.files.rows import Blank, Rejected, Warned

CHUNK = 10_000  # rows; 4 times as many are no faster
STATEMENT_TIMEOUT = timedelta(minutes=2)  # for the pool that imports
#: An identifier of a contact: ("id", …), ("external_id", …), or an address.
Name = tuple[str, object]


@dataclass(slots=True)
class ContactChunk:
    """Rows that can be written as one set: no two of them name the same contact by themselves.

    A row with the identity of the one before it is merged into that one. Any other row that could
    mean the contact of an earlier one does not fit, and begins the next chunk.
    """

    rows: dict[Name, ContactRow] = field(default_factory=dict)
    #: Line of a row -> lines merged into it.
    repeats: dict[int, list[int]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    warned: list[Warned] = field(default_factory=list)
    blank: int = 0
    _lines: int = 0
    _last: Name | None = None
    #: The ids and externalIds of the rows.
    _taken: set[Name] = field(default_factory=set)
    #: Address -> whether a row without externalId and id has it.
    _addresses: dict[Name, bool] = field(default_factory=dict)

    def __len__(self) -> int:
        """Lines, those merged into others included, and warnings."""
        return self._lines

    def note(self, item: Rejected | Warned | Blank) -> None:
        """Add what is not written."""
        match item:
            case Rejected():
                self.rejected.append(item)
            case Warned():
                self.warned.append(item)
            case Blank():
                self.blank += 1
            case _:
                assert_never(item)
        self._lines += 1

    def fits(self, row: ContactRow) -> bool:
        """Add the row; False when it has to wait for the next chunk."""
        identity = _identity(row)
        earlier = self.rows[identity] if identity == self._last else None
        if earlier is not None and _lookup(earlier) == _lookup(row):
            self.repeats.setdefault(earlier.line, []).append(row.line)
            row = _merged(earlier, row)
        elif identity in self.rows or self._is_ambiguous(row):
            return False
        self.rows[identity], self._last = row, identity
        self._lines += 1
        is_plain = identity[0] in ADDRESSES
        for name in _names(row):
            if name[0] in ADDRESSES:
                self._addresses[name] = self._addresses.get(name, False) or is_plain
            else:
                self._taken.add(name)
        return True

    def _is_ambiguous(self, row: ContactRow) -> bool:
        if ("id", row.id) in self._taken or ("external_id", row.external_id) in self._taken:
            return True
        # an address decides only where there is no id, and two different externalIds may share one
        address = None if row.id is not None else row.address
        return address in self._addresses and (row.external_id is None or self._addresses[address])


def _identity(row: ContactRow) -> Name:
    if row.id is not None:
        return "id", row.id
    if row.external_id is not None:
        return "external_id", row.external_id
    assert row.address is not None
    return row.address


def _lookup(row: ContactRow) -> tuple[object, ...]:
    """The identifiers that decide which contact a row means, and whether it is refused."""
    return row.id, row.external_id, row.address if row.id is None else None


def _names(row: ContactRow) -> Iterator[Name]:
    for name in ("id", "external_id", *ADDRESSES):
        if (value := getattr(row, name)) is not None:
            yield name, value


def _merged(earlier: ContactRow, later: ContactRow) -> ContactRow:
    """The row with the fields of both; where both have one, the later row wins."""
    given = {name: value for name, value in later._asdict().items() if value is not None}
    attributes = msgspec.json.decode(earlier.attributes) | msgspec.json.decode(later.attributes)
    return earlier._replace(
        **given | {"line": earlier.line, "attributes": msgspec.json.encode(attributes).decode()}
    )


def chunks(rows: Iterable[Item], size: int) -> Iterator[ContactChunk]:
    """The rows of a file, in sets of at most `size` lines and warnings."""
    chunk = ContactChunk()
    for row in rows:
        if len(chunk) >= size:
            yield chunk
            chunk = ContactChunk()
        if not isinstance(row, ContactRow):
            chunk.note(row)
        elif not chunk.fits(row):
            yield chunk
            chunk = ContactChunk()
            chunk.fits(row)
    if len(chunk):
        yield chunk


@dataclass(frozen=True, slots=True)
class Progress:
    """The rows so far: new contacts, updated contacts, rows that did not go in, rows without any
    content. `warned` counts the fields that were left out of rows that did go in.
    """

    imported: int = 0
    updated: int = 0
    rejected: int = 0
    blank: int = 0
    warned: int = 0

    @property
    def rows(self) -> int:
        return self.imported + self.updated + self.rejected + self.blank

    def __add__(self, other: Progress) -> Progress:
        return Progress(
            self.imported + other.imported,
            self.updated + other.updated,
            self.rejected + other.rejected,
            self.blank + other.blank,
            self.warned + other.warned,
        )


async def import_contacts(
    database: Database,
    tenant: str,
    segment_id: UUID | None,
    rows: Iterable[Item],
    *,
    on_rejected: Callable[[Rejected], None],
    on_warned: Callable[[Warned], None] = lambda warned: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    size: int = CHUNK,
) -> Progress:
    """Write all rows, a chunk of at most `size` a transaction, and read the next chunk meanwhile in
    a thread. Raises DependencyDownError.

    `on_rejected` gets the lines that did not go in, `on_warned` the fields that were left out, in
    order within a chunk; `on_progress` is called after each chunk.
    """
    progress, pending = Progress(), chunks(rows, size)
    chunk = await asyncio.to_thread(next, pending, None)
    while chunk is not None:
        reading = asyncio.create_task(asyncio.to_thread(next, pending, None))
        try:
            done, rejected = await _write(database, tenant, segment_id, chunk)
        finally:
            # the file must not be read by two threads, nor closed under one
            following = await reading
        for each in rejected:
            on_rejected(each)
        for warning in chunk.warned:
            on_warned(warning)
        progress += done
        on_progress(progress)
        chunk = following
    return progress


async def _write(
    database: Database, tenant: str, segment_id: UUID | None, chunk: ContactChunk
) -> tuple[Progress, list[Rejected]]:
    """Write a chunk: the numbers of its lines, and those that did not go in, in their order."""
    written = Written(0, 0, ())
    if chunk.rows:
        async with database.transaction() as session:
            written = await write_rows(session, tenant, list(chunk.rows.values()), segment_id)
    refused = [
        Rejected(each, reason)
        for line, reason in written.refused
        for each in (line, *chunk.repeats.pop(line, ()))
    ]
    rejected = sorted(chunk.rejected + refused, key=lambda it: it.line)
    updated = written.updated + sum(map(len, chunk.repeats.values()))
    done = Progress(
        written.imported, updated, len(rejected), blank=chunk.blank, warned=len(chunk.warned)
    )
    return done, rejected
