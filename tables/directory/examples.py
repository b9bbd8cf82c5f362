"""The template and the segments that the examples of the API's documentation name."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update

from tables.database.connection import Session
from tables.directory.segments import segment_named
from tables.directory.templates import create_template
from tables.models import Segment, Template

TEMPLATE = UUID("550e8400-e29b-41d4-a716-446655440001")
SEGMENT = UUID("550e8400-e29b-41d4-a716-446655440002")
EXCLUDED = UUID("550e8400-e29b-41d4-a716-446655440003")
_NAMES = {
    SEGMENT: "Active subscribers (API example)",
    EXCLUDED: "Not this time (API example)",
}
_CONTENT = {
    "subject": "January at Acme",
    "html": "<p>Hello {{ firstName | default('there') }}, this is our news.</p>",
}
_FILL = """
INSERT INTO segment_members (segment_id, contact_id, tenant_id)
SELECT %(segment)s, id, tenant_id
  FROM contacts
 WHERE tenant_id = %(tenant)s AND email IS NOT NULL
 ORDER BY id
 LIMIT 500"""


async def install_examples(session: Session, tenant: str) -> None:
    """Give the tenant the template and the segments, its first 500 contacts with an email address
    in the first of them. Repeating it is harmless.

    The ids are global: the first tenant that asks keeps them.
    """
    if await session.scalar(select(Template.id).where(Template.id == TEMPLATE)):
        return
    name = "Example of the API documentation"
    template = await create_template(session, tenant, name, "email", _CONTENT)
    await session.execute(update(Template).where(Template.id == template.id).values(id=TEMPLATE))
    for segment_id, name in _NAMES.items():
        segment = await segment_named(session, tenant, name)
        await session.execute(update(Segment).where(Segment.id == segment.id).values(id=segment_id))
    await session.run(_FILL, segment=SEGMENT, tenant=tenant)
