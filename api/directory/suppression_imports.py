"""A list of suppressions as a CSV file of any length, read as it arrives."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.directory.contact_imports import Country, checked_country, kind_of
from api.directory.contact_schemas import Rejected
from api.directory.schemas import Reason, SuppressedFile
from api.directory.uploads import Upload
from api.http.auth import Editor
from api.http.dependencies import Provided
from api.http.envelope import Success, success
from api.http.json_bodies import JsonRoute
from api.limits.slots import IMPORTS, takes
from streams.contracts.fields import Channel
from tables.directory.suppression_files import SuppressionFile, import_suppressions
from tables.files.lines import Lines
from tables.files.rows import Rejected as Reject

router = APIRouter(prefix="/suppressions", tags=["suppressions"], route_class=JsonRoute)
_SHOWN = 100  # rejected rows in the summary
_EXAMPLE = "Email Address,UNSUB_TIME\nbob@example.com,2026-01-28 08:55:12\n"
_BODY = {"text/csv": {"schema": {"type": "string"}, "example": _EXAMPLE}}
OnChannel = Annotated[
    Channel | None,
    Query(
        description="of every row; otherwise the column `channel`, or email for a column of email "
        "addresses and sms for one of numbers"
    ),
]
Because = Annotated[
    Reason | None,
    Query(description="of every row; otherwise the column `reason`, or what the file is"),
]


@router.post("/import", openapi_extra={"requestBody": {"required": True, "content": _BODY}})
@takes(IMPORTS)
async def import_file(
    request: Request,
    who: Editor,
    services: Provided,
    channel: OnChannel = None,
    reason: Because = None,
    country: Country = None,
) -> Success[SuppressedFile]:
    """Suppress the addresses of a CSV: columns channel, address or contactId, reason, or an export
    of another system, such as Mailchimp's unsubscribed and cleaned members. A bad row does not stop
    the others, and suppresses nobody: look at each.
    """
    kind_of(request.headers.get("content-type", ""), among={"csv"})
    checked_country(country)
    rejects = list[Rejected]()

    def keep(rejected: Reject) -> None:
        if len(rejects) < _SHOWN:
            rejects.append(Rejected.of_row(rejected))

    lines = Lines(Upload(aiter(request.stream())))
    done = await import_suppressions(
        services.database,
        who.tenant_id,
        SuppressionFile(lines, channel, reason, country),
        on_rejected=keep,
    )
    return success(SuppressedFile.of_row(done, rejects=rejects))
