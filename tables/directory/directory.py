"""Segments and templates of a tenant. A foreign id is as unknown as one that never was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from streams.contracts.envelope import Record
from streams.errors import CampaignError, FieldError, NotFoundError
from tables.channels import CHANNELS
from tables.database.connection import Connection
from tables.database.search import containing
from tables.directory.suppressions import broken, rows_of

_LONGEST_NAME = 255
TEMPLATE_COLUMNS = "id, name, channel, content, created_at, updated_at"
_TEMPLATES = (
    "FROM templates WHERE tenant_id = $1 AND deleted_at IS NULL"
    " AND ($2::campaign_channel IS NULL OR channel = $2) AND ($3::text IS NULL OR name COLLATE pg_c_utf8 ILIKE $3)"
)
_SEGMENTS = (
    "FROM segments WHERE tenant_id = $1 AND ($2::text IS NULL OR name COLLATE pg_c_utf8 ILIKE $2)"
)


class Segment(Record, frozen=True):
    """A named set of contacts."""

    id: UUID
    name: str
    created_at: datetime


class Template(Record, frozen=True):
    """What is sent on one channel. `content`: email {subject, html, text}; sms, whatsapp {text};
    push {title, body, link}.
    """

    id: UUID
    name: str
    channel: str
    content: dict[str, str]
    created_at: datetime
    updated_at: datetime


async def segment_named(connection: Connection, tenant: str, name_or_id: str) -> Segment:
    """The segment with this id or name; a new name creates it. Raises NotFoundError for an id that
    is not there.
    """
    try:
        return await get_segment(connection, tenant, UUID(name_or_id))
    except ValueError:
        name = checked_name(name_or_id)
    # DO UPDATE, because DO NOTHING returns no row
    row = await connection.fetchrow(
        "INSERT INTO segments (tenant_id, name) VALUES ($1, $2) ON CONFLICT (tenant_id, name) DO UPDATE SET name = excluded.name"
        " RETURNING id, name, created_at",
        tenant,
        name,
    )
    assert row is not None
    return Segment(**row)


async def get_segment(connection: Connection, tenant: str, segment_id: UUID) -> Segment:
    """Raises NotFoundError."""
    row = await connection.fetchrow(
        "SELECT id, name, created_at FROM segments WHERE tenant_id = $1 AND id = $2",
        tenant,
        segment_id,
    )
    if row is None:
        raise NotFoundError(f"There is no segment {segment_id}.")
    return Segment(**row)


async def list_segments(
    connection: Connection,
    tenant: str,
    *,
    search: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Segment], int]:
    """A page by name, and how many there are; `search` finds a part of the name, whatever its case."""
    filters = (tenant, containing(search))
    rows = await connection.fetch(
        f"SELECT id, name, created_at {_SEGMENTS} ORDER BY name LIMIT $3 OFFSET $4",
        *filters,
        limit,
        offset,
    )
    return [Segment(**row) for row in rows], await connection.fetchval(
        f"SELECT count(*) {_SEGMENTS}", *filters
    )


async def unknown_segments(
    connection: Connection, tenant: str, segment_ids: Iterable[UUID]
) -> tuple[UUID, ...]:
    """Those of the ids that this tenant does not have, in their order. The others cannot be deleted
    until this transaction ends.
    """
    wanted = tuple(dict.fromkeys(segment_ids))
    rows = await connection.fetch(
        "SELECT id FROM segments WHERE tenant_id = $1 AND id = ANY($2) FOR KEY SHARE",
        tenant,
        wanted,
    )
    known = {row["id"] for row in rows}
    return tuple(segment_id for segment_id in wanted if segment_id not in known)


async def add_members(
    connection: Connection, tenant: str, segment_id: UUID, contact_ids: Sequence[UUID]
) -> int:
    """Put contacts of the tenant into a segment, foreign and unknown ones are left out; answers how
    many are new in it.
    """
    statement = (
        "INSERT INTO segment_members (segment_id, contact_id, tenant_id) SELECT s.id, c.id, c.tenant_id FROM contacts c, segments s"
        " WHERE c.tenant_id = $1 AND s.tenant_id = $1 AND s.id = $2 AND c.id = ANY($3) FOR KEY SHARE ON CONFLICT DO NOTHING"
    )
    return rows_of(await connection.execute(statement, tenant, segment_id, contact_ids))


async def create_template(
    connection: Connection, tenant: str, name: str, channel: str, content: Mapping[str, Any]
) -> Template:
    """Raises CampaignError that names every wrong field. Whether the text renders is not checked
    here.
    """
    checked = check_content(channel, content)
    row = await connection.fetchrow(
        f"INSERT INTO templates (tenant_id, name, channel, content) VALUES ($1, $2, $3::campaign_channel, $4) RETURNING {TEMPLATE_COLUMNS}",
        *(tenant, checked_name(name), channel, checked),
    )
    assert row is not None
    return Template(**row)


async def get_template(connection: Connection, tenant: str, template_id: UUID) -> Template:
    """Raises NotFoundError."""
    statement = f"SELECT {TEMPLATE_COLUMNS} FROM templates WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
    row = await connection.fetchrow(statement, tenant, template_id)
    if row is None:
        raise NotFoundError(f"There is no template {template_id}.")
    return Template(**row)


async def list_templates(
    connection: Connection,
    tenant: str,
    *,
    channel: str | None = None,
    search: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Template], int]:
    """A page, newest first, and how many there are; `search` finds a part of the name, whatever its
    case.
    """
    filters = (tenant, channel, containing(search))
    rows = await connection.fetch(
        f"SELECT {TEMPLATE_COLUMNS} {_TEMPLATES} ORDER BY created_at DESC, id LIMIT $4 OFFSET $5",
        *filters,
        limit,
        offset,
    )
    return [Template(**row) for row in rows], await connection.fetchval(
        f"SELECT count(*) {_TEMPLATES}", *filters
    )


def check_content(channel: str, content: Mapping[str, Any]) -> dict[str, str]:
    """The content when it is right for the channel. Raises CampaignError that names every wrong
    field.
    """
    if errors := tuple(_content_errors(channel, content)):
        raise CampaignError("The template's content does not fit its channel.", errors=errors)
    return dict(content)


def _content_errors(channel: str, content: Mapping[str, Any]) -> Iterable[FieldError]:
    if (rules := CHANNELS.get(channel)) is None:
        yield FieldError("channel", f"one of {', '.join(CHANNELS)}")
        return
    for field, value in content.items():
        if (longest := rules.content.get(field)) is None:
            yield FieldError(
                f"content.{field}",
                f"{channel} has no such field; it has {', '.join(rules.content)}",
            )
        elif not isinstance(value, str) or len(value) > longest or "\0" in value:
            yield FieldError(
                f"content.{field}", f"a text of at most {longest:,} characters, without NUL"
            )
    for field in rules.required:
        if not content.get(field):
            yield FieldError(f"content.{field}", f"{channel} needs it")
    if channel == "email" and not (content.get("html") or content.get("text")):
        yield FieldError("content", "email needs html, text or both")


def checked_name(name: str) -> str:
    """The name without space around it. Raises CampaignError."""
    if not 1 <= len(name := name.strip()) <= _LONGEST_NAME or "\0" in name:
        raise broken("name", f"1 to {_LONGEST_NAME} characters, without NUL")
    return name
