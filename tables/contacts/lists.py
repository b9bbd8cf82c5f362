"""Lists of contacts: a tenant's, what a search finds, a segment's; by id, a page from a cursor, at
the same cost however far.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from tables.contacts.store import CONTACT_COLUMNS, Contact
from tables.database.connection import Connection
from tables.database.search import beginning
from tables.directory.suppressions import broken

# contacts that a search finds per column; what it costs does not grow with the directory
MOST_FOUND = 10_000
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]*")
_AFTER = "($2::uuid IS NULL OR c.id > $2)"
_SHOWN = ", ".join(f"c.{name}" for name in CONTACT_COLUMNS.split(", "))
# What a search looks in, each with an index of prefixes, and its pattern; pg_c_utf8 as in the
# indexes.
_NAME, _LOWER_NAME = "lower(c.{} COLLATE pg_c_utf8)", "lower($4 COLLATE pg_c_utf8)"
_SEARCHED = (
    ("c.email", "$6"),
    ("c.external_id", "$4"),
    ("c.phone", "$5"),
    (_NAME.format("first_name"), _LOWER_NAME),
    (_NAME.format("last_name"), _LOWER_NAME),
)
_FOUND = " UNION ALL ".join(
    f"(SELECT c.id FROM contacts c WHERE c.tenant_id = $1 AND {column} LIKE {pattern} ORDER BY {column} USING ~<~ LIMIT {MOST_FOUND})"
    for column, pattern in _SEARCHED
)
# The planner must see the words, for a plan made for any words cannot use the indexes.
_PLAN = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off; SET LOCAL jit = off"


async def list_contacts(
    connection: Connection,
    tenant: str,
    *,
    search: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Contact]:
    """Contacts by id, those after `after`. `search` is the beginning of an address, an externalId
    or a name; of all but externalIds the case does not matter. With a search it needs a
    transaction, and finds at most `MOST_FOUND` by each of them.
    """
    search = (search or "").replace("\0", "").strip()
    if search:
        await connection.execute(_PLAN)
        phone = "+" + re.sub(r"[^0-9]", "", search) if _PHONE.fullmatch(search) else None
        rows = await connection.fetch(
            f"SELECT {_SHOWN} FROM contacts c WHERE c.tenant_id = $1 AND c.id IN (SELECT c.id FROM ({_FOUND}) c WHERE {_AFTER}"
            " GROUP BY c.id ORDER BY c.id LIMIT $3) ORDER BY c.id",
            *(tenant, after, limit, beginning(search), beginning(phone), beginning(search.lower())),
        )
    else:
        # lower: of idx_contacts_tenant, the names of tenants are lower case
        mine = f"c.tenant_id = $1 AND lower(c.tenant_id) = $1 AND {_AFTER}"
        rows = await connection.fetch(
            f"SELECT {_SHOWN} FROM contacts c WHERE {mine} ORDER BY c.id LIMIT $3",
            tenant,
            after,
            limit,
        )
    return [Contact(**row) for row in rows]


async def list_members(
    connection: Connection,
    tenant: str,
    segment_id: UUID,
    *,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Contact]:
    """The contacts of a segment by id, those after `after`."""
    rows = await connection.fetch(
        f"SELECT {_SHOWN} FROM segment_members m JOIN contacts c ON c.id = m.contact_id AND c.tenant_id = m.tenant_id"
        " WHERE m.segment_id = $4 AND m.tenant_id = $1 AND ($2::uuid IS NULL OR m.contact_id > $2) ORDER BY m.contact_id LIMIT $3",
        *(tenant, after, limit, segment_id),
    )
    return [Contact(**row) for row in rows]


async def attribute_names(connection: Connection, tenant: str, segment_id: UUID) -> list[str]:
    """The names of all attributes that contacts of the segment have, sorted; about a second for a
    million contacts.
    """
    rows = await connection.fetch(
        "SELECT DISTINCT jsonb_object_keys(c.attributes) AS name FROM segment_members m"
        " JOIN contacts c ON c.id = m.contact_id AND c.tenant_id = m.tenant_id WHERE m.segment_id = $2 AND m.tenant_id = $1",
        *(tenant, segment_id),
    )
    return sorted(row["name"] for row in rows)


async def check_known(connection: Connection, tenant: str, contact_ids: Sequence[UUID]) -> None:
    """Raises CampaignError that names the first ids which the tenant does not have."""
    rows = await connection.fetch(
        "SELECT id FROM contacts WHERE tenant_id = $1 AND id = ANY ($2)", tenant, contact_ids
    )
    known = {row["id"] for row in rows}
    if unknown := [contact_id for contact_id in contact_ids if contact_id not in known]:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise broken("contactIds", f"there is no contact {', '.join(map(str, unknown[:5]))}{more}")
