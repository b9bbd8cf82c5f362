"""The merge of contacts: a set of rows is written in a few statements, each row as if it came alone
and in its order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID

from tables.contacts.fields import ADDRESSES, ContactRow
from tables.database.connection import Session

_FIELDS = [name for name in ContactRow._fields if name not in ("line", "id", "attributes")]
_COLUMNS = ", ".join(_FIELDS)
_VERSIONS = ", ".join(f"{column}_version" for column in ADDRESSES)
_STAGING = f"""
CREATE TEMP TABLE IF NOT EXISTS import_rows
  (line bigint, id uuid, attributes text, {", ".join(f"{name} text" for name in _FIELDS)})
    ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS import_targets
  (line bigint, contact_id uuid, is_new boolean, reason text)
    ON COMMIT DELETE ROWS;
-- A plan made while contacts was empty would read all of it for every row; these three make every
-- look-up use its index.
SET LOCAL enable_seqscan = off;
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('contacts of ' || %(tenant)s, 0))"
_EMPTY = "TRUNCATE import_rows, import_targets"
_COPY = f"COPY import_rows ({', '.join(ContactRow._fields)}) FROM STDIN"


def _same(column: str) -> str:
    """The condition that contact and row have the same address, numbers in any spelling."""
    if column == "phone":
        return "c.phone = ANY (number_spellings(r.phone))"
    return f"c.{column} = r.{column}"


# The first identifier that a row has identifies it: id, externalId, address. A new externalId goes
# to the contact of that address which has none.
_BY_ADDRESS = " ".join(
    f"""
                    WHEN r.{column} IS NOT NULL
                    THEN (SELECT c.id
                            FROM contacts c
                           WHERE c.tenant_id = %(tenant)s
                             AND {_same(column)}
                             AND (r.external_id IS NULL OR c.external_id IS NULL)
                           ORDER BY c.id
                           LIMIT 1)"""
    for column in ADDRESSES
)
_RESOLVE = f"""
INSERT INTO import_targets (line, contact_id, is_new, reason)
SELECT line, coalesce(found, id, uuidv7()), found IS NULL,
       CASE WHEN id IS NOT NULL AND is_of_another_tenant(m.id, %(tenant)s)
            THEN 'id: taken'
            WHEN id IS NOT NULL
             AND external_id IS NOT NULL
             AND EXISTS (SELECT
                           FROM contacts c
                          WHERE c.tenant_id = %(tenant)s
                            AND c.external_id = m.external_id
                            AND c.id <> m.id)
            THEN 'externalId: belongs to another contact' END
  FROM (SELECT r.*,
               CASE WHEN r.id IS NOT NULL
                    THEN (SELECT c.id FROM contacts c WHERE c.id = r.id)
                    ELSE coalesce(
                      (SELECT c.id
                         FROM contacts c
                        WHERE c.tenant_id = %(tenant)s AND c.external_id = r.external_id),
                      CASE {_BY_ADDRESS} END) END AS found
          FROM import_rows r) m"""

# Whether the order of rows matters: two of them mean one contact, or one is refused for an
# externalId that another may be about to free. LIMIT 1, or a plan could begin with all contacts of
# the tenant and compare each with every row.
_CONFLICT = """
SELECT EXISTS (SELECT FROM import_targets GROUP BY contact_id HAVING count(*) > 1)
    OR EXISTS (SELECT
                 FROM import_targets t
                 JOIN import_rows r USING (line)
                CROSS JOIN LATERAL (SELECT c.id
                                      FROM contacts c
                                     WHERE c.tenant_id = %(tenant)s
                                       AND c.external_id = r.external_id
                                     LIMIT 1) c
                 JOIN import_targets other ON other.contact_id = c.id
                WHERE t.reason IS NOT NULL AND other.line <> t.line)"""

_COUNT = """
SELECT count(*) FILTER (WHERE is_new) AS imported,
       count(*) FILTER (WHERE NOT is_new) AS updated
  FROM import_targets
 WHERE reason IS NULL"""


# An id that an erased contact had goes on counting, so that what was sent to that one is told
# apart.
_INSERT = f"""
INSERT INTO contacts (tenant_id, id, attributes, {_COLUMNS}, {_VERSIONS})
SELECT %(tenant)s, t.contact_id, r.attributes::jsonb, {", ".join(f"r.{one}" for one in _FIELDS)},
       {", ".join(f"coalesce(v.{column}, 0)" for column in ADDRESSES)}
  FROM import_targets t
  JOIN import_rows r USING (line)
  LEFT JOIN LATERAL next_address_versions(r.id) AS v ON true
 WHERE t.is_new AND t.reason IS NULL
 ORDER BY t.line"""


def _kept_or_new(column: str) -> str:
    """Argentina's 9 is not lost to a spelling without it: with it a mobile phone can be reached
    from abroad.
    """
    value = f"coalesce(r.{column}, c.{column})"
    if column != "phone":
        return value
    is_kept = "c.phone LIKE '+549%%' AND number_key(c.phone) = number_key(r.phone)"
    return f"CASE WHEN {is_kept} THEN c.phone ELSE {value} END"


_UPDATE = f"""
UPDATE contacts c
   SET {", ".join(f"{name} = {_kept_or_new(name)}" for name in _FIELDS)},
       attributes = c.attributes || r.attributes::jsonb,
       updated_at = now()
  FROM import_targets t
  JOIN import_rows r USING (line)
 WHERE NOT t.is_new AND t.reason IS NULL AND c.id = t.contact_id AND c.tenant_id = %(tenant)s"""

_JOIN_SEGMENT = """
INSERT INTO segment_members (segment_id, contact_id, tenant_id)
SELECT %(segment)s, contact_id, %(tenant)s
  FROM import_targets
 WHERE reason IS NULL
    ON CONFLICT DO NOTHING"""

_REFUSED = "SELECT line, reason FROM import_targets WHERE reason IS NOT NULL ORDER BY line"


class RefusedRow(NamedTuple):
    """A line of an import that is not written, and why: `externalId: belongs to somebody else`."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Written:
    """The result of writing rows: how many contacts are new, how many were updated, and the lines
    that were refused with the reason.
    """

    imported: int
    updated: int
    refused: tuple[RefusedRow, ...] = ()

    def __add__(self, other: Written) -> Written:
        return Written(
            self.imported + other.imported,
            self.updated + other.updated,
            self.refused + other.refused,
        )


async def write_rows(
    session: Session, tenant: str, rows: Sequence[ContactRow], segment_id: UUID | None = None
) -> Written:
    """Insert or update the contacts of `rows` and put them into the segment. Needs a transaction;
    other imports of the tenant wait for it.

    Rows take effect as if they came one by one in their order, provided that no two of them name
    the same contact by themselves (`ContactChunk` ensures it). When two rows turn out to mean one
    stored contact, each half of the set is written by itself, and so on.
    """
    await session.script(_STAGING)
    await lock_contacts(session, tenant)
    return await _write_set(session, tenant, rows, segment_id)


async def lock_contacts(session: Session, tenant: str) -> None:
    """Make other imports and erasures of the tenant's contacts wait until this transaction ends."""
    await session.run(_LOCK, tenant=tenant)


async def _write_set(
    session: Session, tenant: str, rows: Sequence[ContactRow], segment_id: UUID | None
) -> Written:
    await session.run(_EMPTY)
    driver = await session.driver()
    async with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows:
            await copy.write_row(row)
    await session.run(_RESOLVE, tenant=tenant)
    if (middle := len(rows) // 2) and await session.value(_CONFLICT, tenant=tenant):
        first = await _write_set(session, tenant, rows[:middle], segment_id)
        return first + await _write_set(session, tenant, rows[middle:], segment_id)
    return await _apply(session, tenant, segment_id)


async def _apply(session: Session, tenant: str, segment_id: UUID | None) -> Written:
    [written] = await session.rows(Written, _COUNT)
    if written.imported:
        await session.run(_INSERT, tenant=tenant)
    if written.updated:
        await session.run(_UPDATE, tenant=tenant)
    if segment_id is not None:
        await session.run(_JOIN_SEGMENT, tenant=tenant, segment=segment_id)
    return replace(written, refused=tuple(await session.rows(RefusedRow, _REFUSED)))
