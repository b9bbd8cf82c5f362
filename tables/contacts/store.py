"""Contacts of a tenant: written in sets, each row as if it came alone and in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from streams.contracts.envelope import Record
from streams.errors import NotFoundError
from tables.contacts.fields import ContactRow
from tables.database.connection import Connection
from tables.directory.suppressions import broken

CONTACT_COLUMNS = "id, external_id, email, phone, push_token, first_name, last_name, time_zone, locale, attributes, created_at, updated_at"

_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS import_rows (
  line bigint, id uuid, external_id text, email text, phone text, push_token text, first_name text, last_name text, time_zone text,
  locale text, attributes text) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS import_targets (
  line bigint, contact_id uuid, is_new boolean, reason text) ON COMMIT DELETE ROWS;
-- A plan made while contacts was empty would read all of it for every row; these three make every look-up use its index.
SET LOCAL enable_seqscan = off;
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off
"""

# The first identifier that a row has identifies it: id, externalId, address. An externalId nobody
# has yet goes to the contact of that address which has none.
_RESOLVE = """
INSERT INTO import_targets (line, contact_id, is_new, reason)
SELECT line, coalesce(found, id, uuidv7()), found IS NULL,
       CASE WHEN id IS NOT NULL AND EXISTS (SELECT FROM contacts c WHERE c.id = m.id AND c.tenant_id <> $1) THEN 'id: taken'
            WHEN id IS NOT NULL AND external_id IS NOT NULL AND EXISTS (
                 SELECT FROM contacts c WHERE c.tenant_id = $1 AND c.external_id = m.external_id AND c.id <> m.id)
            THEN 'externalId: belongs to another contact' END
  FROM (SELECT r.*, CASE
          WHEN r.id IS NOT NULL THEN (SELECT c.id FROM contacts c WHERE c.id = r.id)
          ELSE coalesce(
            (SELECT c.id FROM contacts c WHERE c.tenant_id = $1 AND c.external_id = r.external_id),
            CASE WHEN r.email IS NOT NULL THEN (SELECT c.id FROM contacts c WHERE c.tenant_id = $1 AND c.email = r.email
                   AND (r.external_id IS NULL OR c.external_id IS NULL) ORDER BY c.id LIMIT 1)
                 WHEN r.phone IS NOT NULL THEN (SELECT c.id FROM contacts c WHERE c.tenant_id = $1 AND c.phone = r.phone
                   AND (r.external_id IS NULL OR c.external_id IS NULL) ORDER BY c.id LIMIT 1)
                 WHEN r.push_token IS NOT NULL THEN (SELECT c.id FROM contacts c WHERE c.tenant_id = $1 AND c.push_token = r.push_token
                   AND (r.external_id IS NULL OR c.external_id IS NULL) ORDER BY c.id LIMIT 1) END) END AS found
          FROM import_rows r) m
"""

# Whether the order of rows matters: two of them mean one contact, or one is refused for an
# externalId that another may be about to free. LIMIT 1, or a plan could begin with all contacts of
# the tenant and compare each with every row.
_CONFLICT = """
SELECT EXISTS (SELECT FROM import_targets GROUP BY contact_id HAVING count(*) > 1)
    OR EXISTS (SELECT FROM import_targets t JOIN import_rows r USING (line)
                CROSS JOIN LATERAL (SELECT c.id FROM contacts c WHERE c.tenant_id = $1 AND c.external_id = r.external_id LIMIT 1) c
                 JOIN import_targets other ON other.contact_id = c.id
                WHERE t.reason IS NOT NULL AND other.line <> t.line)
"""

_INSERT = """
INSERT INTO contacts (tenant_id, id, external_id, email, phone, push_token, first_name, last_name, time_zone, locale, attributes)
SELECT $1, t.contact_id, r.external_id, r.email, r.phone, r.push_token, r.first_name, r.last_name, r.time_zone, r.locale,
       r.attributes::jsonb
  FROM import_targets t JOIN import_rows r USING (line) WHERE t.is_new AND t.reason IS NULL ORDER BY t.line
"""

_UPDATE = """
UPDATE contacts c SET external_id = coalesce(r.external_id, c.external_id), email = coalesce(r.email, c.email),
       phone = coalesce(r.phone, c.phone), push_token = coalesce(r.push_token, c.push_token),
       first_name = coalesce(r.first_name, c.first_name), last_name = coalesce(r.last_name, c.last_name),
       time_zone = coalesce(r.time_zone, c.time_zone), locale = coalesce(r.locale, c.locale),
       attributes = c.attributes || r.attributes::jsonb, updated_at = now()
  FROM import_targets t JOIN import_rows r USING (line)
 WHERE NOT t.is_new AND t.reason IS NULL AND c.id = t.contact_id AND c.tenant_id = $1
"""

_MEMBERS = """
INSERT INTO segment_members (segment_id, contact_id, tenant_id)
SELECT $2, contact_id, $1 FROM import_targets WHERE reason IS NULL ON CONFLICT DO NOTHING
"""


_COUNT = """
SELECT count(*) FILTER (WHERE is_new) AS imported, count(*) FILTER (WHERE NOT is_new) AS updated
  FROM import_targets WHERE reason IS NULL
"""


class Contact(Record, frozen=True):
    """Somebody a tenant can write to."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    attributes: dict[str, Any]
    external_id: str | None = None
    email: str | None = None
    phone: str | None = None
    push_token: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    time_zone: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a set of rows: how many contacts are new, how many were there, and which lines
    were refused and why.
    """

    imported: int
    updated: int
    refused: tuple[tuple[int, str], ...]

    def __add__(self, other: Written) -> Written:
        return Written(
            self.imported + other.imported,
            self.updated + other.updated,
            self.refused + other.refused,
        )


async def write_rows(
    connection: Connection, tenant: str, rows: Sequence[ContactRow], segment_id: UUID | None = None
) -> Written:
    """Insert or update the contacts of `rows` and put them into the segment. Needs a transaction;
    other imports of the tenant wait for it.

    Rows take effect as if they came one by one in their order, provided that no two of them can
    mean the same contact by what they say themselves (`ContactChunk` sees to that). Where two do by
    what is stored, each half of the set is written by itself, and so on.
    """
    await connection.execute(_STAGING)
    await lock_contacts(connection, tenant)
    return await _write_set(connection, tenant, rows, segment_id)


async def lock_contacts(connection: Connection, tenant: str) -> None:
    """Until this transaction ends nobody else imports or erases contacts of the tenant."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('contacts of ' || $1, 0))", tenant
    )


async def _write_set(
    connection: Connection, tenant: str, rows: Sequence[ContactRow], segment_id: UUID | None
) -> Written:
    await connection.execute("TRUNCATE import_rows, import_targets")
    driver = await connection.driver()
    columns = ", ".join(ContactRow._fields)
    async with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY import_rows ({columns}) FROM STDIN") as copy,
    ):
        for row in rows:
            await copy.write_row(row)
    await connection.execute(_RESOLVE, tenant)
    if (middle := len(rows) // 2) and await connection.fetchval(_CONFLICT, tenant):
        first = await _write_set(connection, tenant, rows[:middle], segment_id)
        return first + await _write_set(connection, tenant, rows[middle:], segment_id)
    return await _apply(connection, tenant, segment_id)


async def _apply(connection: Connection, tenant: str, segment_id: UUID | None) -> Written:
    counts = await connection.fetchrow(_COUNT)
    assert counts is not None
    if counts["imported"]:
        await connection.execute(_INSERT, tenant)
    if counts["updated"]:
        await connection.execute(_UPDATE, tenant)
    if segment_id is not None:
        await connection.execute(_MEMBERS, tenant, segment_id)
    refused = await connection.fetch(
        "SELECT line, reason FROM import_targets WHERE reason IS NOT NULL ORDER BY line"
    )
    return Written(
        counts["imported"],
        counts["updated"],
        tuple((row["line"], row["reason"]) for row in refused),
    )


async def put_contact(
    connection: Connection, tenant: str, row: ContactRow, segment_id: UUID | None = None
) -> tuple[Contact, bool]:
    """Insert or update one contact, identified as in an import; whether it is new. Needs a
    transaction.

    Raises CampaignError when the row is refused.
    """
    written = await write_rows(connection, tenant, [row], segment_id)
    if written.refused:
        field, _, rule = written.refused[0][1].partition(": ")
        raise broken(field, rule)
    contact_id = await connection.fetchval("SELECT contact_id FROM import_targets")
    return await get_contact(connection, tenant, contact_id), written.imported == 1


async def upsert_contact(connection: Connection, tenant: str, row: ContactRow) -> Contact:
    """`put_contact` for who does not care whether it is new."""
    return (await put_contact(connection, tenant, row))[0]


async def get_contact(connection: Connection, tenant: str, contact_id: UUID) -> Contact:
    """Raises NotFoundError."""
    row = await connection.fetchrow(
        f"SELECT {CONTACT_COLUMNS} FROM contacts WHERE tenant_id = $1 AND id = $2",
        tenant,
        contact_id,
    )
    if row is None:
        raise NotFoundError(f"There is no contact {contact_id}.")
    return Contact(**row)
