"""The contacts of a segment as CSV, read a page at a time, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import msgspec

from api.http.dependencies import Services
from api.limits.slots import EXPORTS
from tables.contacts.fields import SPELLINGS
from tables.contacts.lists import member_columns
from tables.files.cells import neutral

_PAGE = 2_000  # contacts read at once


async def exported(
    services: Services, tenant: str, segment_id: UUID, attributes: Sequence[str]
) -> AsyncIterator[str]:
    """The header, then every contact, by id; attributes in columns `attributes.<name>`. A
    connection, and a slot of the tenant's, is held for a page only.

    Raises DependencyDownError or RateLimitedError in the middle, which breaks the transfer off:
    half a file must not look like a whole one.
    """
    fields = [name for name, _ in SPELLINGS.values()]
    yield _lines([fields + [f"attributes.{name}" for name in attributes]])
    after: UUID | None = None
    while True:
        async with services.slots.slot(EXPORTS, tenant), services.database.transaction() as session:
            found = await member_columns(session, tenant, segment_id, after=after, limit=_PAGE)
        if found:
            yield _lines([_cells(contact, attributes) for contact in found])
            after = found[-1][0]
        if len(found) < _PAGE:
            return


def _cells(contact: Sequence[Any], attributes: Sequence[str]) -> list[str]:
    *columns, given = contact
    return [_text(value) for value in (*columns, *map(given.get, attributes))]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, UUID) else msgspec.json.encode(value).decode()


def _lines(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([neutral(cell) for cell in row] for row in rows)
    return out.getvalue()
