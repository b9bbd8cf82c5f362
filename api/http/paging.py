"""Lists: by page number where there are few, by cursor where there are millions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Query

from api.http.envelope import CursorMeta, Page, Schema, Slice, page_of

T = TypeVar("T")
S = TypeVar("S", bound=Schema)
PageNumber = Annotated[int, Query(ge=1, le=10_000)]
PageSize = Annotated[int, Query(alias="pageSize", ge=1, le=100)]
Search = Annotated[str | None, Query(max_length=255)]
Cursor = Annotated[UUID | None, Query(description="`meta.nextCursor` of the answer before")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True)
class PageRequest:
    """The page that a request asks for."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    def of(self, found: Sequence[T], total: int) -> Page[T]:
        """The answer: what was found there, of `total`."""
        return page_of(found, self.number, self.size, total)


async def _page_request(page: PageNumber = 1, page_size: PageSize = 20) -> PageRequest:
    return PageRequest(page, page_size)


ByPage = Annotated[PageRequest, Depends(_page_request)]


@dataclass(frozen=True)
class CursorRequest:
    """The part of a long list that a request asks for: `limit` things after the id `after`."""

    after: UUID | None
    limit: int

    @property
    def wanted(self) -> int:
        """One more than is answered, to know whether the list goes on."""
        return self.limit + 1

    def of(self, kind: type[S], found: Sequence[object]) -> Slice[S]:
        """The answer, made of up to `wanted` rows that have an id."""
        kept = found[: self.limit]
        last = getattr(kept[-1], "id") if len(found) > self.limit else None  # noqa: B009
        meta = CursorMeta(limit=self.limit, next_cursor=last)
        return Slice(data=[kind.of_row(row) for row in kept], meta=meta)


async def _cursor_request(cursor: Cursor = None, limit: Limit = 100) -> CursorRequest:
    return CursorRequest(cursor, limit)


ByCursor = Annotated[CursorRequest, Depends(_cursor_request)]
