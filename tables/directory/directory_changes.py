"""How segments and templates change and go: what a campaign that is not over needs stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from streams.errors import ConflictError, FieldError, NotFoundError
from tables.database.connection import Connection
from tables.directory.directory import (
    TEMPLATE_COLUMNS,
    Segment,
    Template,
    check_content,
    checked_name,
    get_segment,
    get_template,
)
from tables.directory.suppressions import rows_of

_NAMED = 5  # campaigns in a refusal
_TEMPLATE_USED = "template_id = $2 OR EXISTS (SELECT FROM campaign_variants v WHERE v.campaign_id = c.id AND v.template_id = $2)"
_SEGMENT_USED = "$2 = ANY (segment_ids) OR $2 = ANY (exclude_segment_ids)"


async def change_template(
    connection: Connection,
    tenant: str,
    template_id: UUID,
    *,
    name: str | None = None,
    content: Mapping[str, Any] | None = None,
) -> Template:
    """What is given replaces what was there; the channel stays. Campaigns that have started keep
    the content they started with.

    Raises NotFoundError, CampaignError for content that does not fit the channel, and ConflictError
    for a mirrored template.
    """
    before = await get_template(connection, tenant, template_id)
    checked = None if content is None else check_content(before.channel, content)
    await _check_own(connection, "templates", template_id)
    row = await connection.fetchrow(
        "UPDATE templates SET name = coalesce($3, name), content = coalesce($4, content), updated_at = now()"
        f" WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING {TEMPLATE_COLUMNS}",
        *(tenant, template_id, None if name is None else checked_name(name), checked),
    )
    if row is None:
        raise NotFoundError(f"There is no template {template_id}.")
    return Template(**row)


async def delete_template(connection: Connection, tenant: str, template_id: UUID) -> None:
    """Raises NotFoundError, and ConflictError that names the campaigns that still need it."""
    statement = (
        "SELECT 1 FROM templates WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
    )
    if await connection.fetchval(statement, tenant, template_id) is None:
        raise NotFoundError(f"There is no template {template_id}.")
    await _check_unused(connection, tenant, template_id, "template", _TEMPLATE_USED)
    await _check_own(connection, "templates", template_id)
    await connection.execute("UPDATE templates SET deleted_at = now() WHERE id = $1", template_id)


async def create_segment(connection: Connection, tenant: str, name: str) -> Segment:
    """Raises ConflictError when the tenant has one of this name."""
    row = await connection.fetchrow(
        "INSERT INTO segments (tenant_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id, name, created_at",
        *(tenant, checked_name(name)),
    )
    if row is None:
        raise _name_taken(name)
    return Segment(**row)


async def rename_segment(
    connection: Connection, tenant: str, segment_id: UUID, name: str
) -> Segment:
    """Raises NotFoundError, and ConflictError when another segment has the name or this one is
    mirrored.
    """
    await get_segment(connection, tenant, segment_id)
    await _check_own(connection, "segments", segment_id)
    statement = "UPDATE segments SET name = $3 WHERE tenant_id = $1 AND id = $2 RETURNING id, name, created_at"
    try:
        async with connection.transaction():
            row = await connection.fetchrow(statement, tenant, segment_id, checked_name(name))
    except psycopg.errors.UniqueViolation as error:
        raise _name_taken(name) from error
    if row is None:
        raise NotFoundError(f"There is no segment {segment_id}.")
    return Segment(**row)


async def delete_segment(connection: Connection, tenant: str, segment_id: UUID) -> None:
    """The segment and who is in it; the contacts stay. Raises NotFoundError, and ConflictError that
    names the campaigns that need it.
    """
    statement = "SELECT 1 FROM segments WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
    if await connection.fetchval(statement, tenant, segment_id) is None:
        raise NotFoundError(f"There is no segment {segment_id}.")
    await _check_unused(connection, tenant, segment_id, "segment", _SEGMENT_USED)
    await connection.execute("DELETE FROM segment_members WHERE segment_id = $1", segment_id)
    await connection.execute("DELETE FROM segments WHERE id = $1", segment_id)


async def check_members_are_own(connection: Connection, segment_id: UUID) -> None:
    """Raises ConflictError for a segment whose members another service decides."""
    await _check_own(connection, "segments", segment_id)


async def remove_members(
    connection: Connection, tenant: str, segment_id: UUID, contact_ids: Sequence[UUID]
) -> int:
    """How many were in it. Who is not in it, or not known, is left alone."""
    statement = "DELETE FROM segment_members WHERE segment_id = $2 AND tenant_id = $1 AND contact_id = ANY ($3)"
    return rows_of(await connection.execute(statement, tenant, segment_id, contact_ids))


async def count_members(
    connection: Connection, tenant: str, segment_ids: Sequence[UUID]
) -> dict[UUID, int]:
    """Exact, from an index: about 60 ms for a million members. A segment without members is not in
    the answer.
    """
    rows = await connection.fetch(
        "SELECT m.segment_id, count(*) AS members FROM segment_members m"
        " WHERE m.segment_id IN (SELECT id FROM segments WHERE tenant_id = $1 AND id = ANY ($2)) GROUP BY m.segment_id",
        *(tenant, segment_ids),
    )
    return {row["segment_id"]: row["members"] for row in rows}


async def _check_unused(
    connection: Connection, tenant: str, used_id: UUID, what: str, condition: str
) -> None:
    """Raises ConflictError when a campaign that is not over meets the condition ($2 is the id, `c`
    the campaign).
    """
    rows = await connection.fetch(
        "SELECT name, status FROM campaigns c WHERE tenant_id = $1 AND deleted_at IS NULL"
        f" AND status IN ('draft', 'scheduled', 'running', 'paused') AND ({condition}) ORDER BY created_at DESC LIMIT {_NAMED + 1}",
        *(tenant, used_id),
    )
    if rows:
        named = ", ".join(f"{row['name']} ({row['status']})" for row in rows[:_NAMED]) + (
            " and others" if len(rows) > _NAMED else ""
        )
        raise ConflictError(
            f"The {what} is used by campaigns that are not over: {named}. Change, cancel or delete these first."
        )


async def _check_own(connection: Connection, table: str, record_id: UUID) -> None:
    """Raises ConflictError for a copy of what another service owns: its next reading would undo the
    change.
    """
    if await connection.fetchval(f"SELECT is_mirrored FROM {table} WHERE id = $1", record_id):
        raise ConflictError("This is a copy of what another service owns; change it there.")


def _name_taken(name: str) -> ConflictError:
    rule = "another segment of this tenant has this name"
    return ConflictError(f"name: {rule}", errors=(FieldError("name", rule),))
