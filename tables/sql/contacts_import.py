"""The import of contacts: a file of any length becomes contacts and members of a segment, a few thousand rows a transaction.

A crash leaves whole chunks; importing the file again updates those and goes on. Rows take effect in the order of the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec

from tables.contact_files import Rejected
from tables.contacts import ContactRow
from tables.sql.contacts import Written, write_rows
from tables.sql.database import translated

CHUNK = 10_000  # rows; 4 times as many are no faster
STATEMENT_TIMEOUT = timedelta(minutes=2)  # for the pool that imports
_ADDRESSES = ("email", "phone", "push_token")
Name = tuple[str, object]  # what identifies a contact: ("id", …), ("external_id", …), or an address


@dataclass(slots=True)
class ContactChunk:
    """Rows that can be written as one set: no two of them can mean the same contact by what they say.

    A row with the identity of an earlier one is merged into it. A row that could mean the contact of an earlier one under another
    identity does not fit, and begins the next chunk.
    """

    rows: dict[Name, ContactRow] = field(default_factory=dict)
    repeats: dict[int, list[int]] = field(default_factory=dict)  # line of a row -> lines merged into it
    rejected: list[Rejected] = field(default_factory=list)
    _owners: dict[Name, Name] = field(default_factory=dict)  # id or externalId -> identity of the row that has it
    _addresses: dict[Name, bool] = field(default_factory=dict)  # address -> whether a row without externalId and id has it

    def __len__(self) -> int:
        return len(self.rows) + len(self.rejected)

    def fits(self, row: ContactRow) -> bool:
        """Add the row; False when it has to wait for the next chunk."""
        identity = _identity(row)
        earlier = self.rows.get(identity)
        if self._is_ambiguous(row, identity, earlier):
            return False
        if earlier is not None:
            self.repeats.setdefault(earlier.line, []).append(row.line)
            row = _merged(earlier, row)
        self.rows[identity] = row
        is_plain = identity[0] in _ADDRESSES
        for name in _names(row):
            if name[0] in _ADDRESSES:
                self._addresses[name] = self._addresses.get(name, False) or is_plain
            else:
                self._owners[name] = identity
        return True

    def _is_ambiguous(self, row: ContactRow, identity: Name, earlier: ContactRow | None) -> bool:
        for name in (("id", row.id), ("external_id", row.external_id)):
            if name[1] is not None and self._owners.get(name, identity) != identity:
                return True
        if row.id is not None or earlier is not None:
            return False
        # an address decides only where there is no id; two different externalIds may share one
        address = row.address
        return address in self._addresses and (row.external_id is None or self._addresses[address])


def _identity(row: ContactRow) -> Name:
    if row.id is not None:
        return "id", row.id
    if row.external_id is not None:
        return "external_id", row.external_id
    assert row.address is not None
    return row.address


def _names(row: ContactRow) -> Iterator[Name]:
    for name in ("id", "external_id", *_ADDRESSES):
        if (value := getattr(row, name)) is not None:
            yield name, value


def _merged(earlier: ContactRow, later: ContactRow) -> ContactRow:
    """What both say; the later one wins."""
    given = {name: value for name, value in later._asdict().items() if value is not None}
    attributes = msgspec.json.decode(earlier.attributes) | msgspec.json.decode(later.attributes)
    return earlier._replace(**given | {"line": earlier.line, "attributes": msgspec.json.encode(attributes).decode()})


def chunks(rows: Iterable[ContactRow | Rejected], size: int = CHUNK) -> Iterator[ContactChunk]:
    """The file in sets of at most `size` lines."""
    chunk = ContactChunk()
    for row in rows:
        if len(chunk) >= size:
            yield chunk
            chunk = ContactChunk()
        if isinstance(row, Rejected):
            chunk.rejected.append(row)
        elif not chunk.fits(row):
            yield chunk
            chunk = ContactChunk()
            chunk.fits(row)
    if len(chunk):
        yield chunk


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows so far: new contacts, contacts that were there, rows that did not go in."""

    imported: int = 0
    updated: int = 0
    rejected: int = 0

    @property
    def rows(self) -> int:
        return self.imported + self.updated + self.rejected


async def import_contacts(
    pool: asyncpg.Pool,
    tenant: str,
    segment_id: UUID | None,
    rows: Iterable[ContactRow | Rejected],
    *,
    on_rejected: Callable[[Rejected], None],
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Write all rows, one chunk a transaction, and read the next chunk meanwhile in a thread. Raises DependencyDownError.

    `on_rejected` gets the lines that did not go in, in order within a chunk; `on_progress` is called after each chunk.
    """
    progress, pending = Progress(), chunks(rows)
    chunk = await asyncio.to_thread(next, pending, None)
    while chunk is not None:
        reading = asyncio.create_task(asyncio.to_thread(next, pending, None))
        try:
            refused, written = await _write(pool, tenant, segment_id, chunk)
        finally:
            following = await reading  # the file must not be read by two threads, nor closed under one
        for rejected in sorted(chunk.rejected + refused, key=lambda it: it.line):
            on_rejected(rejected)
        repeated = sum(map(len, chunk.repeats.values()))
        rejections = len(chunk.rejected) + len(refused)
        repeats_in = repeated - (len(refused) - len(written.refused))
        progress = Progress(
            progress.imported + written.imported, progress.updated + written.updated + repeats_in, progress.rejected + rejections
        )
        on_progress(progress)
        chunk = following
    return progress


async def _write(pool: asyncpg.Pool, tenant: str, segment_id: UUID | None, chunk: ContactChunk) -> tuple[list[Rejected], Written]:
    """The lines that the database refused, merged ones included, and what became of the others."""
    if not chunk.rows:
        return [], Written(0, 0, ())
    with translated():
        async with pool.acquire() as connection, connection.transaction():
            written = await write_rows(connection, tenant, list(chunk.rows.values()), segment_id)
    refused = [Rejected(each, reason) for line, reason in written.refused for each in (line, *chunk.repeats.get(line, ()))]
    return refused, written
