"""Copies of what other services own: segments, their members, contacts and templates. Every write
is harmless to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CompoundSelect, any_, delete, func, or_, select, union_all

from streams.contracts.fields import ACTIVE
from streams.contracts.values.one_line import composed, folded
from streams.errors import CampaignError
from tables.contacts.fields import ContactRow
from tables.contacts.imports import chunks
from tables.contacts.merge import write_rows
from tables.database.connection import Session
from tables.directory.templates import check_content
from tables.models import Campaign, CampaignVariant, MirroredMember, Segment, Template

_LONGEST_READING = timedelta(days=1)
# An id of another tenant is in the way of the insert, and of nothing else.
_KEEP_SEGMENT = """
WITH given AS (
  SELECT CASE WHEN EXISTS (SELECT FROM segments
                            WHERE tenant_id = %(tenant)s::varchar
                              AND name = %(name)s::text
                              AND id <> %(id)s)
              THEN left(%(name)s::text, 218) || ' ' || %(id)s::text
              ELSE left(%(name)s::text, 255) END AS name
), kept AS (
  UPDATE segments s
     SET name = given.name
    FROM given
   WHERE s.id = %(id)s AND s.tenant_id = %(tenant)s::varchar AND s.is_mirrored
  RETURNING s.id
)
INSERT INTO segments (id, tenant_id, name, is_mirrored)
SELECT %(id)s, %(tenant)s::varchar, given.name, true
  FROM given
 WHERE NOT EXISTS (SELECT FROM kept)
    ON CONFLICT (id) DO NOTHING"""
_KEEP_TEMPLATE = """
WITH kept AS (
  UPDATE templates
     SET name = left(%(name)s::text, 255), channel = %(channel)s::campaign_channel,
         content = %(content)s::jsonb, updated_at = now()
   WHERE id = %(id)s AND tenant_id = %(tenant)s AND is_mirrored
     AND (name, channel, content)
         IS DISTINCT FROM (left(%(name)s::text, 255), %(channel)s::campaign_channel,
                           %(content)s::jsonb)
  RETURNING id
)
INSERT INTO templates (id, tenant_id, name, channel, content, is_mirrored)
SELECT %(id)s, %(tenant)s, left(%(name)s::text, 255), %(channel)s::campaign_channel,
       %(content)s::jsonb, true
 WHERE NOT EXISTS (SELECT FROM kept)
    ON CONFLICT (id) DO NOTHING"""
_LOCK_MEMBERS = "SELECT pg_advisory_xact_lock(hashtextextended('members of ' || %(segment)s, 0))"
_LEAVE = """
DELETE FROM segment_members m
 WHERE m.segment_id = %(segment)s
   AND m.tenant_id = %(tenant)s
   AND NOT EXISTS (SELECT FROM mirrored_members n
                    WHERE n.reading = %(reading)s AND n.contact_id = m.contact_id)"""
_JOIN = """
INSERT INTO segment_members (segment_id, contact_id, tenant_id)
SELECT %(segment)s, c.id, c.tenant_id
  FROM mirrored_members n
  JOIN contacts c ON c.id = n.contact_id AND c.tenant_id = %(tenant)s
 WHERE n.reading = %(reading)s
    ON CONFLICT DO NOTHING"""
_NOTE_MEMBERS = """
INSERT INTO mirrored_members (reading, contact_id)
SELECT %(reading)s, unnest(%(contacts)s::uuid[])
    ON CONFLICT DO NOTHING"""


def _spelled(name: str) -> str:
    """The name of another service as this directory spells names: one line, composed (NFC)."""
    return composed(folded(name.replace("\0", ""))).strip()


async def keep_segment(session: Session, tenant: str, segment_id: UUID, name: str) -> None:
    """Store a segment or its new name. A name that another segment has gets the id behind it; an id
    of another tenant, or of a segment of the tenant's own, is left alone.
    """
    spelled = _spelled(name) or str(segment_id)
    await session.run(_KEEP_SEGMENT, id=segment_id, tenant=tenant, name=spelled)


async def keep_template(
    session: Session,
    tenant: str,
    template_id: UUID,
    name: str,
    channel: str,
    content: Mapping[str, str],
) -> None:
    """Store a template or its new content. An id of another tenant, or of a template of the
    tenant's own, is left alone. Raises CampaignError when content and channel do not fit.
    """
    try:
        checked = check_content(channel, content)
    except CampaignError as error:
        raise CampaignError(
            f"The templates service has a template that cannot be used: {error.detail}",
            errors=error.errors,
        ) from error
    await session.run(
        _KEEP_TEMPLATE,
        id=template_id,
        tenant=tenant,
        name=_spelled(name) or str(template_id),
        channel=channel,
        content=checked,
    )


async def keep_contacts(session: Session, tenant: str, rows: Sequence[ContactRow]) -> None:
    """Store contacts as an import does. A row that is refused (its id is another tenant's, its
    externalId another contact's) is left out.
    """
    for chunk in chunks(rows, len(rows)):
        await write_rows(session, tenant, list(chunk.rows.values()))


async def templates_of(session: Session, tenant: str, campaign_id: UUID) -> list[UUID]:
    """The mirrored templates of a campaign and of its variants."""
    used: CompoundSelect[Any] = union_all(
        select(Campaign.template_id).where(
            Campaign.tenant_id == tenant, Campaign.id == campaign_id
        ),
        select(CampaignVariant.template_id).where(CampaignVariant.campaign_id == campaign_id),
    )
    mirrored = select(Template.id).where(Template.tenant_id == tenant, Template.is_mirrored)
    return list(await session.scalars(mirrored.where(Template.id.in_(used))))


async def segments_of(session: Session, tenant: str, number: int) -> list[UUID]:
    """The mirrored segments that a campaign includes or excludes, as long as its audience is not
    known.
    """
    is_used = Segment.id == any_(Campaign.segment_ids + Campaign.exclude_segment_ids)
    statement = (
        select(Segment.id)
        .join(Campaign, is_used & (Segment.tenant_id == Campaign.tenant_id))
        .where(
            Campaign.tenant_id == tenant,
            Campaign.number == number,
            Campaign.total_recipients.is_(None),
            Campaign.status.in_(ACTIVE),
            Segment.is_mirrored,
        )
        .order_by(Segment.id)
    )
    return list(await session.scalars(statement))


async def add_members(session: Session, reading: UUID, contact_ids: Sequence[UUID]) -> None:
    """Note members of the segment that is being read. They count from `replace_members` on."""
    await session.run(_NOTE_MEMBERS, reading=reading, contacts=list(contact_ids))


async def replace_members(session: Session, tenant: str, segment_id: UUID, reading: UUID) -> None:
    """Give the segment exactly the members that were read, as far as their contacts are known.
    Readings that never ended are deleted after a day.

    Two replacements of one segment follow each other: each would wait for rows of the other.
    """
    await session.run(_LOCK_MEMBERS, segment=str(segment_id))
    await session.run(_LEAVE, segment=segment_id, tenant=tenant, reading=reading)
    await session.run(_JOIN, segment=segment_id, tenant=tenant, reading=reading)
    is_over = or_(
        MirroredMember.reading == reading, MirroredMember.at < func.now() - _LONGEST_READING
    )
    await session.execute(delete(MirroredMember).where(is_over))
