"""Many contacts in one request: a CSV or NDJSON file of any length, read as it arrives, or a JSON
array.

A bad row does not stop the others. Rows take effect in their order, a few thousand a transaction;
sending them again updates the same contacts, so a request that broke off is simply repeated.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from starlette.exceptions import HTTPException

from api.campaigns.answers import success
from api.directory.schemas import MOST_ROWS
from api.directory.uploads import Upload
from api.http.auth import Editor
from api.http.json_bodies import JsonRoute
from streams.contracts.bodies import broken
from streams.errors import CampaignError, DependencyDownError, FieldError, RateLimitedError
from tables.contacts.fields import ContactRow
from tables.contacts.files import Format, Lines, Rejected, read_contacts, row_of
from tables.contacts.imports import import_contacts
from tables.database.connection import Database, once
from tables.directory.directory import Segment, segment_named

router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=JsonRoute)
_AT_ONCE = 3  # each holds one of the few threads that a process has for such work
_CHUNK = 2_500  # rows a transaction; encoding them holds up other requests for 20 ms
_SHOWN = 100  # rejected rows in the summary
_KINDS: dict[str, Format] = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
}
_EXAMPLES = {
    "text/csv": "externalId,email,firstName,plan\n1001,ana@example.com,Ana,pro\n",
    "application/x-ndjson": '{"externalId": "1001", "email": "ana@example.com", "firstName": "Ana", "attributes": {"plan": "pro"}}\n',
}
_BODY = {
    kind: {"schema": {"type": "string"}, "example": example} for kind, example in _EXAMPLES.items()
}
_JOINED = "name or id of the segment that they join; a new name creates it"
SegmentNamed = Annotated[
    str | None, Query(alias="segment", min_length=1, max_length=255, description=_JOINED)
]
Rows = Annotated[list[dict[str, Any]], Body(min_length=1, max_length=MOST_ROWS)]


@router.post("/import", openapi_extra={"requestBody": {"required": True, "content": _BODY}})
async def import_file(
    request: Request, who: Editor, segment: SegmentNamed = None
) -> dict[str, Any]:
    """Create or update the contacts of a file: CSV with a header, or NDJSON. Columns: id,
    externalId, email, phone, pushToken, firstName, lastName, timeZone, locale; every other one
    becomes an attribute. `rejects` has the first 100 rows that did not go in.
    """
    kind = _kind(request.headers.get("content-type", ""))
    async with _turn(request):
        upload = io.BufferedReader(Upload(aiter(request.stream())), 1 << 16)
        lines = Lines(
            io.TextIOWrapper(upload, encoding="utf-8", errors="surrogateescape", newline="")
        )
        return await _import(request, who.tenant_id, segment, read_contacts(lines, kind))


@router.post("/bulk")
async def import_rows(
    request: Request, who: Editor, body: Rows, segment: SegmentNamed = None
) -> dict[str, Any]:
    """Create or update up to 1,000 contacts; `line` of a rejected one is its place in the array,
    from 1.
    """
    return await _import(
        request, who.tenant_id, segment, map(row_of, range(1, len(body) + 1), body)
    )


async def _import(
    request: Request, tenant: str, segment: str | None, rows: Iterable[ContactRow | Rejected]
) -> dict[str, Any]:
    pool, rejects = request.app.state.pool, list[dict[str, Any]]()
    joined = None if segment is None else await _joined(pool, tenant, segment)

    def keep(rejected: Rejected) -> None:
        if len(rejects) < _SHOWN:
            rejects.append(asdict(rejected))

    done = await import_contacts(
        pool, tenant, joined.id if joined else None, rows, on_rejected=keep, size=_CHUNK
    )
    return success(
        {**asdict(done), "segmentId": str(joined.id) if joined else None, "rejects": rejects}
    )


async def _joined(pool: Database, tenant: str, segment: str) -> Segment:
    try:
        return await once(pool, lambda connection: segment_named(connection, tenant, segment))
    except DependencyDownError:
        raise
    except CampaignError as error:  # an id that is not there, a name that is none
        raise broken(FieldError("segment", error.detail.removeprefix("name: "))) from error


@asynccontextmanager
async def _turn(request: Request) -> AsyncIterator[None]:
    """Raises RateLimitedError while three files are being imported by this process."""
    state = request.app.state
    running = getattr(state, "imports", 0)
    if running >= _AT_ONCE:
        raise RateLimitedError(
            f"{running} imports are running here, the limit is {_AT_ONCE}; try again in a moment.",
            retry_after=5,
        )
    state.imports = running + 1
    try:
        yield
    finally:
        state.imports -= 1


def _kind(content_type: str) -> Format:
    name, _, parameters = (part.strip().lower() for part in content_type.partition(";"))
    charset = (
        parameters.removeprefix("charset=").strip('"')
        if parameters.startswith("charset=")
        else "utf-8"
    )
    if (kind := _KINDS.get(name)) is None or charset not in ("utf-8", "utf8", "us-ascii"):
        raise HTTPException(
            415, "Send the file as Content-Type: text/csv or application/x-ndjson, in UTF-8."
        )
    return kind
