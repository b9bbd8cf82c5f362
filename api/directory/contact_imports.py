"""Many contacts in one request: a CSV or NDJSON file of any length, read as it arrives, or a JSON
array.

A bad row does not stop the others. Rows take effect in their order, a few thousand a transaction;
sending them again updates the same contacts, so a request that broke off is simply repeated.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException

from api.directory.contact_schemas import ONE_IMPORTED, ContactRows, Imported
from api.directory.contact_schemas import Rejected as Reject
from api.directory.uploads import Upload
from api.http.auth import Editor
from api.http.dependencies import IMPORTING, Provided, Services
from api.http.envelope import Success, answers, success
from api.http.json_bodies import JsonRoute
from streams.errors import CampaignError, DependencyDownError, FieldError, RateLimitedError, broken
from tables.contacts.fields import ContactRow
from tables.contacts.files import Format, Lines, Rejected, read_contacts, row_of
from tables.contacts.imports import import_contacts
from tables.directory.segments import segment_named
from tables.models import Segment

router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=JsonRoute)
_CHUNK = 2_500  # rows a transaction; encoding them holds up other requests for 20 ms
_SHOWN = 100  # rejected rows in the summary
_KINDS: dict[str, Format] = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
}
_EXAMPLES = {
    "text/csv": "externalId,email,firstName,plan\n1001,ana@example.com,Ana,pro\n",
    "application/x-ndjson": (
        '{"externalId": "1001", "email": "ana@example.com", "firstName": "Ana", '
        '"attributes": {"plan": "pro"}}\n'
    ),
}
_BODY = {
    kind: {"schema": {"type": "string"}, "example": example} for kind, example in _EXAMPLES.items()
}
_JOINED = "name or id of the segment that they join; a new name creates it"
SegmentNamed = Annotated[
    str | None, Query(alias="segment", min_length=1, max_length=255, description=_JOINED)
]


@router.post("/import", openapi_extra={"requestBody": {"required": True, "content": _BODY}})
async def import_file(
    request: Request, who: Editor, services: Provided, segment: SegmentNamed = None
) -> Success[Imported]:
    """Create or update the contacts of a file: CSV with a header, or NDJSON. Columns: id,
    externalId, email, phone, pushToken, firstName, lastName, timeZone, locale; every other one
    becomes an attribute. `rejects` has the first 100 rows that did not go in.
    """
    kind = _kind(request.headers.get("content-type", ""))
    async with _turn(services):
        upload = io.BufferedReader(Upload(aiter(request.stream())), 1 << 16)
        lines = Lines(
            io.TextIOWrapper(upload, encoding="utf-8", errors="surrogateescape", newline="")
        )
        return await _import(services, who.tenant_id, segment, read_contacts(lines, kind))


@router.post("/bulk", responses=answers(200, ONE_IMPORTED))
async def import_rows(
    who: Editor, services: Provided, body: ContactRows, segment: SegmentNamed = None
) -> Success[Imported]:
    """Create or update up to 1,000 contacts; `line` of a rejected one is its place in the array,
    from 1.
    """
    rows = map(row_of, range(1, len(body.root) + 1), body.root)
    return await _import(services, who.tenant_id, segment, rows)


async def _import(
    services: Services, tenant: str, segment: str | None, rows: Iterable[ContactRow | Rejected]
) -> Success[Imported]:
    rejects = list[Reject]()
    joined = None if segment is None else await _joined(services, tenant, segment)
    segment_id = joined.id if joined else None

    def keep(rejected: Rejected) -> None:
        if len(rejects) < _SHOWN:
            rejects.append(Reject.of_row(rejected))

    done = await import_contacts(
        services.database, tenant, segment_id, rows, on_rejected=keep, size=_CHUNK
    )
    return success(Imported.of_row(done, segment_id=segment_id, rejects=rejects))


async def _joined(services: Services, tenant: str, segment: str) -> Segment:
    try:
        async with services.database.transaction() as connection:
            return await segment_named(connection, tenant, segment)
    except DependencyDownError:
        raise
    except CampaignError as error:  # an id that is not there, a name that is none
        raise broken(FieldError("segment", error.detail.removeprefix("name: "))) from error


@asynccontextmanager
async def _turn(services: Services) -> AsyncIterator[None]:
    """Raises RateLimitedError while this process imports as many files as it can."""
    if services.importing.locked():
        raise RateLimitedError(
            f"{IMPORTING} imports are running here, the limit is {IMPORTING}; "
            "try again in a moment.",
            retry_after=5,
        )
    async with services.importing:
        yield


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
