"""The template and the segments that the examples of the API's documentation name."""

from __future__ import annotations

from uuid import UUID

from tables.database.connection import Connection
from tables.directory.directory import create_template, segment_named

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
SELECT $1, id, tenant_id FROM contacts
 WHERE tenant_id = $2 AND email IS NOT NULL ORDER BY id LIMIT 500"""


async def install_examples(connection: Connection, tenant: str) -> None:
    """Give the tenant the template and the segments, its first 500 contacts with an email address
    in the first of them. Repeating it is harmless.

    The ids are global: the first tenant that asks keeps them.
    """
    if await connection.fetchval("SELECT 1 FROM templates WHERE id = $1", TEMPLATE):
        return
    template = await create_template(
        connection, tenant, "Example of the API documentation", "email", _CONTENT
    )
    await connection.execute("UPDATE templates SET id = $2 WHERE id = $1", template.id, TEMPLATE)
    for segment_id, name in _NAMES.items():
        segment = await segment_named(connection, tenant, name)
        await connection.execute(
            "UPDATE segments SET id = $2 WHERE id = $1", segment.id, segment_id
        )
    await connection.execute(_FILL, SEGMENT, tenant)
