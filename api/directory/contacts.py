"""`/contacts`: the people whom a tenant can write to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from api.directory.contact_schemas import Contact, ContactUpdate, ContactWrite
from api.http.auth import Acting, Editor, Viewer
from api.http.dependencies import Transaction
from api.http.envelope import Slice, Success, success
from api.http.json_bodies import JsonRoute
from api.http.paging import ByCursor
from api.http.preconditions.conditions import ToEdit, ToMake, ToShowWhole
from api.http.preconditions.entity_tags import row_tag
from streams.errors import CampaignError, FieldError, broken
from tables.contacts.changes import change_contact, erase_contact, lock_contact, lock_to_erase
from tables.contacts.fields import ContactRow, contact_row
from tables.contacts.lists import list_contacts
from tables.contacts.store import get_contact, put_contact

router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=JsonRoute)
ContactId = Annotated[UUID, Path(alias="contactId")]
_FOUND = "the beginning of an email address, a phone number, an externalId, a first or a last name"
_THERE: Mapping[int | str, dict[str, Any]] = {
    200: {"model": Success[Contact], "description": "The contact was there and is updated"}
}


@router.post("", status_code=201, responses=dict(_THERE))
async def put(
    response: Response,
    who: Editor,
    transaction: Transaction,
    body: ContactWrite,
    conditions: ToMake,
) -> Success[Contact]:
    """Create a contact (201) or update the one with this id, externalId or address (200); what is
    not given stays as it is.
    """
    contact, is_new = await put_contact(transaction, who.tenant_id, _row(body))
    response.status_code = 201 if is_new else 200
    conditions.tag(contact)
    return success(Contact.of_row(contact))


@router.get("")
async def page(
    who: Viewer,
    transaction: Transaction,
    wanted: ByCursor,
    search: Annotated[str | None, Query(max_length=255, description=_FOUND)] = None,
) -> Slice[Contact]:
    """The tenant's contacts, by id; follow `meta.nextCursor`."""
    found = await list_contacts(
        transaction, who.tenant_id, search=search, after=wanted.after, limit=wanted.wanted
    )
    return wanted.of(Contact, found)


@router.get("/{contactId}")
async def one(
    who: Viewer, transaction: Transaction, contact_id: ContactId, conditions: ToShowWhole
) -> Success[Contact]:
    """The contact with its attributes."""
    found = await get_contact(transaction, who.tenant_id, contact_id)
    conditions.show(row_tag(found))
    return success(Contact.of_row(found))


@router.patch("/{contactId}")
async def update(
    who: Editor,
    transaction: Transaction,
    contact_id: ContactId,
    body: ContactUpdate,
    conditions: ToEdit,
) -> Success[Contact]:
    """Change what is given: null empties a field; attributes are merged, and null removes one."""
    await conditions.check(partial(lock_contact, transaction, who.tenant_id, contact_id))
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    changed = await change_contact(transaction, who.tenant_id, contact_id, changes)
    conditions.tag(changed)
    return success(Contact.of_row(changed))


@router.delete("/{contactId}", status_code=204, response_class=Response)
async def erase(
    who: Editor, by: Acting, transaction: Transaction, contact_id: ContactId, conditions: ToEdit
) -> None:
    """Erase the contact everywhere. Ledgers keep what was sent, without anything that says to whom;
    a suppressed address stays so.
    """
    await conditions.check(partial(lock_to_erase, transaction, who.tenant_id, contact_id))
    await erase_contact(transaction, who.tenant_id, contact_id, by)


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
    return broken(FieldError("id" if field == "row" else field, rule))
