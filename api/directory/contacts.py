"""`/contacts`: whom a tenant can write to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from api.campaigns.answers import success
from api.directory.schemas import ContactUpdate, ContactWrite
from api.http.auth import Editor, Viewer
from api.http.json_bodies import JsonRoute
from api.http.paging import Cursor, Limit, from_cursor, shown
from streams.errors import CampaignError
from tables.contacts.changes import change_contact, erase_contact
from tables.contacts.fields import ContactRow, contact_row
from tables.contacts.lists import list_contacts
from tables.contacts.store import get_contact, put_contact
from tables.database.connection import once
from tables.directory.suppressions import broken

router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=JsonRoute)
ContactId = Annotated[UUID, Path(alias="contactId")]
_FOUND = "the beginning of an email address, a phone number, an externalId, a first or a last name"
_THERE: Mapping[int | str, dict[str, Any]] = {
    200: {"description": "The contact was there and is updated"}
}


@router.post("", status_code=201, responses=dict(_THERE))
async def put(
    request: Request, response: Response, who: Editor, body: ContactWrite
) -> dict[str, Any]:
    """Create a contact (201) or update the one with this id, externalId or address (200); what is
    not given stays as it is.
    """
    row = _row(body)
    contact, is_new = await once(
        request.app.state.pool, lambda connection: put_contact(connection, who.tenant_id, row)
    )
    response.status_code = 201 if is_new else 200
    return success(shown(contact))


@router.get("")
async def page(
    request: Request,
    who: Viewer,
    search: Annotated[str | None, Query(max_length=255, description=_FOUND)] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """The tenant's contacts, by id; follow `meta.nextCursor`."""
    found = await once(
        request.app.state.pool,
        lambda connection: list_contacts(
            connection, who.tenant_id, search=search, after=cursor, limit=limit + 1
        ),
    )
    return from_cursor(found, limit)


@router.get("/{contactId}")
async def one(request: Request, who: Viewer, contact_id: ContactId) -> dict[str, Any]:
    """The contact with its attributes."""
    return success(
        shown(
            await once(
                request.app.state.pool,
                lambda connection: get_contact(connection, who.tenant_id, contact_id),
            )
        )
    )


@router.patch("/{contactId}")
async def update(
    request: Request, who: Editor, contact_id: ContactId, body: ContactUpdate
) -> dict[str, Any]:
    """Change what is given: null empties a field; attributes are merged, and null removes one."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    found = await once(
        request.app.state.pool,
        lambda connection: change_contact(connection, who.tenant_id, contact_id, changes),
    )
    return success(shown(found))


@router.delete("/{contactId}", status_code=204, response_class=Response)
async def erase(request: Request, who: Editor, contact_id: ContactId) -> None:
    """Erase the contact everywhere. Ledgers keep what was sent, without anything that says to whom;
    a suppressed address stays so.
    """
    await once(
        request.app.state.pool,
        lambda connection: erase_contact(connection, who.tenant_id, contact_id),
    )


def _row(body: ContactWrite) -> ContactRow:
    fields = {
        name: str(value) for name, value in body if name != "attributes" and value is not None
    }
    try:
        return contact_row(1, fields, body.attributes or {})
    except ValueError as error:
        raise _refused(error) from error


def _refused(error: ValueError) -> CampaignError:
    field, _, rule = str(error).partition(": ")
    return broken("id" if field == "row" else field, rule)
