"""Copies of what other services own: segments, their members, contacts and templates. Every write
is harmless to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from streams.errors import CampaignError
from tables.contacts.fields import ContactRow
from tables.contacts.imports import chunks
from tables.contacts.store import write_rows
from tables.database.connection import Connection
from tables.directory.directory import check_content

_KEEP_SEGMENT = """
INSERT INTO segments (id, tenant_id, name, is_mirrored)
SELECT $2, $1::varchar, CASE WHEN EXISTS (SELECT FROM segments WHERE tenant_id = $1::varchar AND name = $3::text AND id <> $2)
                             THEN left($3::text, 218) || ' ' || $2::text ELSE left($3::text, 255) END, true
    ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE segments.tenant_id = $1::varchar AND segments.is_mirrored
"""
_KEEP_TEMPLATE = """
INSERT INTO templates (id, tenant_id, name, channel, content, is_mirrored)
VALUES ($2, $1::varchar, left($3::text, 255), $4::campaign_channel, $5, true)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, channel = excluded.channel, content = excluded.content, updated_at = now()
 WHERE templates.tenant_id = $1::varchar AND templates.is_mirrored
   AND (templates.name, templates.channel, templates.content) IS DISTINCT FROM (excluded.name, excluded.channel, excluded.content)
"""
_SEGMENTS_OF = """
SELECT s.id FROM campaigns c JOIN segments s ON s.id = ANY (c.segment_ids || c.exclude_segment_ids) AND s.tenant_id = c.tenant_id
 WHERE c.tenant_id = $1 AND c.number = $2 AND c.total_recipients IS NULL AND c.status IN ('running', 'paused') AND s.is_mirrored
 ORDER BY s.id
"""
_TEMPLATES_OF = """
SELECT t.id FROM templates t WHERE t.tenant_id = $1 AND t.is_mirrored AND t.id IN (
  SELECT template_id FROM campaigns WHERE tenant_id = $1 AND id = $2
   UNION ALL SELECT template_id FROM campaign_variants WHERE campaign_id = $2)
"""
_LEAVE = """
DELETE FROM segment_members m WHERE m.segment_id = $2 AND m.tenant_id = $1
   AND NOT EXISTS (SELECT FROM mirrored_members n WHERE n.reading = $3 AND n.contact_id = m.contact_id)
"""
_JOIN = """
INSERT INTO segment_members (segment_id, contact_id, tenant_id)
SELECT $2, c.id, c.tenant_id FROM mirrored_members n JOIN contacts c ON c.id = n.contact_id AND c.tenant_id = $1 WHERE n.reading = $3
ON CONFLICT DO NOTHING
"""


async def keep_segment(connection: Connection, tenant: str, segment_id: UUID, name: str) -> None:
    """A name that another segment has gets the id behind it; an id of another tenant, or of a
    segment of our own, is left alone.
    """
    await connection.execute(
        _KEEP_SEGMENT, tenant, segment_id, name.replace("\0", "").strip() or str(segment_id)
    )


async def keep_template(
    connection: Connection,
    tenant: str,
    template_id: UUID,
    name: str,
    channel: str,
    content: Mapping[str, str],
) -> None:
    """An id of another tenant or of a template of our own is left alone. Raises CampaignError when
    content and channel do not fit.
    """
    try:
        checked = check_content(channel, content)
    except CampaignError as error:
        raise CampaignError(
            f"The templates service has a template that cannot be used: {error.detail}",
            errors=error.errors,
        ) from error
    await connection.execute(
        _KEEP_TEMPLATE,
        tenant,
        template_id,
        name.replace("\0", "").strip() or str(template_id),
        channel,
        checked,
    )


async def keep_contacts(connection: Connection, tenant: str, rows: Sequence[ContactRow]) -> None:
    """As an import does; a row that is refused (its id is another tenant's, its externalId another
    contact's) is left out.
    """
    for chunk in chunks(rows, len(rows)):
        await write_rows(connection, tenant, list(chunk.rows.values()))


async def unknown_contacts(
    connection: Connection, tenant: str, contact_ids: Sequence[UUID]
) -> list[UUID]:
    """Those of the ids that the tenant has no contact of, in their order."""
    statement = "SELECT id FROM contacts WHERE tenant_id = $1 AND id = ANY ($2)"
    known = {row["id"] for row in await connection.fetch(statement, tenant, contact_ids)}
    return [contact_id for contact_id in contact_ids if contact_id not in known]


async def templates_of(connection: Connection, tenant: str, campaign_id: UUID) -> list[UUID]:
    """The mirrored templates of a campaign and of its variants."""
    rows = await connection.fetch(_TEMPLATES_OF, tenant, campaign_id)
    return [row["id"] for row in rows]


async def segments_of(connection: Connection, tenant: str, number: int) -> list[UUID]:
    """The mirrored segments that a campaign includes or excludes, as long as its audience is not
    known.
    """
    return [row["id"] for row in await connection.fetch(_SEGMENTS_OF, tenant, number)]


async def add_members(connection: Connection, reading: UUID, contact_ids: Sequence[UUID]) -> None:
    """Note members of the segment that is being read; nobody sees them before `replace_members`."""
    await connection.execute(
        "INSERT INTO mirrored_members (reading, contact_id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING",
        reading,
        contact_ids,
    )


async def replace_members(
    connection: Connection, tenant: str, segment_id: UUID, reading: UUID
) -> None:
    """The segment has exactly the members that were read, as far as their contacts are known.
    Readings that never ended go after a day.

    Two at once follow each other: each would wait for rows of the other.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('members of ' || $1, 0))", str(segment_id)
    )
    for statement in (_LEAVE, _JOIN):
        await connection.execute(statement, tenant, segment_id, reading)
    await connection.execute(
        "DELETE FROM mirrored_members WHERE reading = $1 OR at < now() - interval '1 day'", reading
    )
