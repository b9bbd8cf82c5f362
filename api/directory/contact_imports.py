"""Many contacts in one request: a CSV or NDJSON file of any length, read as it arrives, or a JSON
array.

A bad row does not stop the others. Rows take effect in their order, a few thousand a transaction;
sending them again updates the same contacts, so a request that broke off is simply repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain, starmap
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import StringConstraints
from starlette.exceptions import HTTPException

from api.directory.contact_schemas import ONE_IMPORTED, ColumnUse, ContactRows, Imported
from api.directory.contact_schemas import Rejected as Reject
from api.directory.contact_schemas import Warned as Warn
from api.directory.uploads import Upload
from api.http.auth import Editor
from api.http.dependencies import Provided, Services
from api.http.envelope import Success, answers, success
from api.http.json_bodies import JsonRoute
from api.limits.slots import IMPORTS, takes
from streams.errors import CampaignError, DependencyDownError, FieldError, broken
from tables.contacts.files import ContactFile, Format, Item, rows_of
from tables.contacts.headings import targets
from tables.contacts.imports import import_contacts
from tables.contacts.usable_rows import COUNTRIES
from tables.directory.segments import segment_named
from tables.files.lines import Lines
from tables.files.rows import Rejected, Warned
from tables.models import Segment

router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=JsonRoute)
_CHUNK = 2_500  # rows a transaction; encoding them holds up other requests for 20 ms
_SHOWN = 100  # rejected rows, and as many warnings, in the summary
_NAMED: dict[str, Format] = {"text/csv": "csv", "application/x-ndjson": "ndjson"}
_KINDS: dict[str, Format] = {**_NAMED, "application/ndjson": "ndjson"}
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
_MAPPED = (
    "COLUMN=FIELD, once for each column of a CSV that is named differently: a field of contacts, "
    "attributes.NAME, or nothing to ignore the column"
)
Mapped = Annotated[
    list[Annotated[str, StringConstraints(max_length=200)]] | None,
    Query(alias="map", max_length=25, description=_MAPPED),
]
_NATIONAL = "country of phone numbers without a country code, in ISO 3166-1 alpha-2, such as DE"
Country = Annotated[str | None, Query(pattern="^[A-Z]{2}$", description=_NATIONAL)]


@router.post("/import", openapi_extra={"requestBody": {"required": True, "content": _BODY}})
@takes(IMPORTS)
async def import_file(
    request: Request,
    who: Editor,
    services: Provided,
    segment: SegmentNamed = None,
    mapped: Mapped = None,
    country: Country = None,
) -> Success[Imported]:
    """Create or update the contacts of a file: CSV with a header, or NDJSON. Columns: id,
    externalId, email, phone, pushToken, firstName, lastName, timeZone, locale, also as the exports
    of other systems name them; every other one becomes an attribute. An optional field that cannot
    be used is left out and listed in `warnings`. `rejects` has the first 100 rows that did not go
    in.
    """
    kind = kind_of(request.headers.get("content-type", ""))
    if mapped and kind != "csv":
        raise broken(FieldError("map", "only a CSV has columns"))
    checked_country(country)
    mapping = targets(mapped or ())
    file = ContactFile(Lines(Upload(aiter(request.stream()))), kind, mapping, country)
    imported = await _import(services, who.tenant_id, segment, file)
    columns = [ColumnUse.of_row(use) for use in file.uses]
    return success(imported.model_copy(update={"columns": columns, "notes": file.notes}))


@router.post("/bulk", responses=answers(200, ONE_IMPORTED))
async def import_rows(
    who: Editor, services: Provided, body: ContactRows, segment: SegmentNamed = None
) -> Success[Imported]:
    """Create or update up to 1,000 contacts; `line` of a rejected one is its place in the array,
    from 1.
    """
    rows = chain.from_iterable(starmap(rows_of, enumerate(body.root, 1)))
    return success(await _import(services, who.tenant_id, segment, rows))


async def _import(
    services: Services, tenant: str, segment: str | None, rows: Iterable[Item]
) -> Imported:
    rejects, warnings = list[Reject](), list[Warn]()
    joined = None if segment is None else await _joined(services, tenant, segment)
    segment_id = joined.id if joined else None

    def keep(rejected: Rejected) -> None:
        if len(rejects) < _SHOWN:
            rejects.append(Reject.of_row(rejected))

    def keep_warning(warned: Warned) -> None:
        if len(warnings) < _SHOWN:
            warnings.append(Warn.of_row(warned))

    done = await import_contacts(
        services.database,
        tenant,
        segment_id,
        rows,
        on_rejected=keep,
        on_warned=keep_warning,
        size=_CHUNK,
    )
    return Imported.of_row(
        done, segment_id=segment_id, rejects=rejects, warnings=warnings, columns=[], notes=[]
    )


async def _joined(services: Services, tenant: str, segment: str) -> Segment:
    try:
        async with services.database.transaction() as session:
            return await segment_named(session, tenant, segment)
    except DependencyDownError:
        raise
    except CampaignError as error:  # an id that is not there, a name that is none
        raise broken(FieldError("segment", error.detail.removeprefix("name: "))) from error


def kind_of(content_type: str, among: Collection[Format] = ("csv", "ndjson")) -> Format:
    """The format that a request declares. Raises HTTPException, 415, for every other."""
    name, _, parameters = (part.strip().lower() for part in content_type.partition(";"))
    charset = (
        parameters.removeprefix("charset=").strip('"')
        if parameters.startswith("charset=")
        else "utf-8"
    )
    kind = _KINDS.get(name)
    if kind is None or kind not in among or charset not in ("utf-8", "utf8", "us-ascii"):
        known = " or ".join(known for known, kind in _NAMED.items() if kind in among)
        raise HTTPException(415, f"Send the file as Content-Type: {known}, in UTF-8.")
    return kind


def checked_country(country: str | None) -> None:
    """Raises CampaignError for a country without a numbering plan."""
    if country is not None and country not in COUNTRIES:
        raise broken(FieldError("country", "not a country of ISO 3166-1, such as DE"))
