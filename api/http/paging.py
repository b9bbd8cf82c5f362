"""Lists: by page number where there are few, by cursor where there are millions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic.alias_generators import to_camel

from api.campaigns.answers import success
from streams.contracts.envelope import Record, rfc3339

PageNumber = Annotated[int, Query(ge=1, le=10_000)]
PageSize = Annotated[int, Query(alias="pageSize", ge=1, le=100)]
Search = Annotated[str | None, Query(max_length=255)]
Cursor = Annotated[UUID | None, Query(description="`meta.nextCursor` of the answer before")]
Limit = Annotated[int, Query(ge=1, le=1000)]


def shown(record: Record, **more: Any) -> dict[str, Any]:
    """The record as the API spells it: camelCase, every field, nulls included, times in RFC 3339
    with milliseconds, ids as text.
    """
    fields = {to_camel(name): _plain(getattr(record, name)) for name in record.__struct_fields__}
    return fields | more


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(value) if isinstance(value, UUID) else value


def pages(found: Sequence[Mapping[str, Any]], page: int, size: int, total: int) -> dict[str, Any]:
    """The answer of a list by page number."""
    return success(
        found,
        meta={"page": page, "pageSize": size, "total": total, "totalPages": -(-total // size)},
    )


def from_cursor(found: Sequence[Record], limit: int) -> dict[str, Any]:
    """The answer of a list by cursor, given up to `limit` + 1 records that have an id."""
    kept = [shown(record) for record in found[:limit]]
    return success(
        kept, meta={"limit": limit, "nextCursor": kept[-1]["id"] if len(found) > limit else None}
    )
