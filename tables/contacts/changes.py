"""How one contact changes, and how it is erased: with everything that says who it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from streams.errors import ConflictError, FieldError, NotFoundError
from tables.contacts.fields import SPELLINGS, attributes_json
from tables.contacts.store import CONTACT_COLUMNS, Contact, lock_contacts
from tables.database.connection import Connection
from tables.directory.suppressions import broken

# What a provider says of a failure may quote the address; names of people do not occur in it.
_SCRUB = r"""
UPDATE campaign_recipients
   SET failure_reason = regexp_replace(regexp_replace(replace(failure_reason, coalesce($3, '(erased)'), '(erased)'),
                          '[^[:space:]<>]+@[^[:space:]<>]+', '(erased)', 'g'), '\+?[0-9][0-9 ()./-]{5,}[0-9]', '(erased)', 'g')
 WHERE contact_id = $2 AND tenant_id = $1 AND failure_reason IS NOT NULL AND failure_reason NOT LIKE 'skipped:%'
"""


async def change_contact(
    connection: Connection, tenant: str, contact_id: UUID, changes: Mapping[str, Any]
) -> Contact:
    """Set columns of a contact; None empties one, attributes are merged (RFC 7396: null removes
    one). Needs a transaction.

    Raises NotFoundError, CampaignError for a value that breaks a rule, ConflictError for an
    externalId that another contact has.
    """
    await connection.execute(
        "SELECT 1 FROM contacts WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        tenant,
        contact_id,
    )
    columns: dict[str, Any] = {
        name: _spelled(name, value) for name, value in changes.items() if name != "attributes"
    }
    if (given := changes.get("attributes")) is not None:
        columns["attributes"] = await _merged(connection, tenant, contact_id, given)
    assignments = "".join(f", {name} = ${place}" for place, name in enumerate(columns, 3))
    statement = f"UPDATE contacts SET updated_at = now(){assignments} WHERE tenant_id = $1 AND id = $2 RETURNING {CONTACT_COLUMNS}"
    try:
        async with connection.transaction():
            row = await connection.fetchrow(statement, tenant, contact_id, *columns.values())
    except psycopg.errors.UniqueViolation as error:
        rule = "belongs to another contact"
        raise ConflictError(
            f"externalId: {rule}", errors=(FieldError("externalId", rule),)
        ) from error
    if row is None:
        raise NotFoundError(f"There is no contact {contact_id}.")
    return Contact(**row)


async def erase_contact(connection: Connection, tenant: str, contact_id: UUID) -> None:
    """The contact, its memberships and its own suppressions; its rows in ledgers keep what happened
    and not to whom. Needs a transaction.

    A suppressed *address* stays suppressed, for the next import may bring it back. Raises
    NotFoundError.
    """
    await lock_contacts(
        connection, tenant
    )  # an import that has found it must not make it a member afterwards
    row = await connection.fetchrow(
        "DELETE FROM contacts WHERE tenant_id = $1 AND id = $2 RETURNING push_token",
        tenant,
        contact_id,
    )
    if row is None:
        raise NotFoundError(f"There is no contact {contact_id}.")
    await connection.execute(
        "DELETE FROM segment_members WHERE contact_id = $2 AND tenant_id = $1", tenant, contact_id
    )
    await connection.execute(
        "DELETE FROM suppressions WHERE contact_id = $2 AND tenant_id = $1", tenant, contact_id
    )
    await connection.execute(_SCRUB, tenant, contact_id, row["push_token"])


async def _merged(
    connection: Connection, tenant: str, contact_id: UUID, given: Mapping[str, Any]
) -> dict[str, Any]:
    found = (
        await connection.fetchval(
            "SELECT attributes FROM contacts WHERE tenant_id = $1 AND id = $2", tenant, contact_id
        )
        or {}
    )
    merged = {name: value for name, value in {**found, **given}.items() if value is not None}
    try:
        attributes: dict[str, Any] = msgspec.json.decode(attributes_json(merged))
    except ValueError as error:
        raise _of(error) from error
    return attributes


def _spelled(column: str, text: str | None) -> object:
    if not text:
        return None
    try:
        return SPELLINGS[column][1](text) or None
    except ValueError as error:
        raise _of(error) from error


def _of(error: ValueError) -> Exception:
    field, _, rule = str(error).partition(": ")
    return broken(field, rule)
