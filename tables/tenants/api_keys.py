"""API keys over their life: listed without their secrets, rotated, revoked; a tenant never loses
its last way in by accident.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from streams.contracts.envelope import Record
from streams.errors import ConflictError, NotFoundError
from tables.campaigns.campaign import lock_tenant
from tables.database.connection import Connection
from tables.tenants.tenants import digest, key_text, revoke_key

_COLUMNS = "id, role, name, user_id, created_at, expires_at, revoked_at, CASE WHEN previous_expires_at > now() THEN previous_expires_at END"
_GOOD = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"


class ApiKey(Record, frozen=True):
    """A key without its secret. Until `previous_expires_at` the secret before the last rotation is
    good, too.
    """

    id: str
    role: str
    user_id: UUID
    created_at: datetime
    name: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    previous_expires_at: datetime | None = None


async def list_keys(
    connection: Connection, tenant: str, *, limit: int = 100, offset: int = 0
) -> tuple[list[ApiKey], int]:
    """A page, newest first, expired and revoked ones included, and how many there are."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} AS previous_expires_at FROM api_keys WHERE tenant_id = $1 ORDER BY created_at DESC, id LIMIT $2 OFFSET $3",
        *(tenant, limit, offset),
    )
    return [ApiKey(**row) for row in rows], await connection.fetchval(
        "SELECT count(*) FROM api_keys WHERE tenant_id = $1", tenant
    )


async def get_key(connection: Connection, tenant: str, key_id: str) -> ApiKey:
    """Raises NotFoundError."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} AS previous_expires_at FROM api_keys WHERE tenant_id = $1 AND id = $2",
        tenant,
        key_id,
    )
    if row is None:
        raise NotFoundError(f"There is no API key {key_id}.")
    return ApiKey(**row)


async def rotate_key(connection: Connection, tenant: str, key_id: str, grace: timedelta) -> str:
    """The key with a new secret, its text; the old one is good for so long, the one before that no
    longer.

    Raises NotFoundError, and ConflictError for a key that is expired or revoked.
    """
    secret = secrets.token_hex(32)
    await get_key(connection, tenant, key_id)
    changed = await connection.fetchval(
        "UPDATE api_keys SET previous_sha256 = secret_sha256, previous_expires_at = now() + $3, secret_sha256 = $4"
        f" WHERE tenant_id = $1 AND id = $2 AND {_GOOD} RETURNING id",
        *(tenant, key_id, grace, digest(secret)),
    )
    if changed is None:
        raise ConflictError("The API key is expired or revoked; make a new one.")
    return key_text(key_id, secret)


async def retire_key(connection: Connection, tenant: str, key_id: str) -> None:
    """From now on the key does not verify; a repeat changes nothing.

    Raises NotFoundError, and ConflictError for the last good key with the role admin: nobody could
    make another one.
    """
    await lock_tenant(connection, tenant)  # two admins who revoke each other
    await get_key(connection, tenant, key_id)
    admins = await connection.fetch(
        f"SELECT id FROM api_keys WHERE tenant_id = $1 AND role = 'admin' AND {_GOOD}", tenant
    )
    if [row["id"] for row in admins] == [key_id]:
        raise ConflictError(
            "This is the tenant's last good API key with the role admin; make another one first."
        )
    await revoke_key(connection, tenant, key_id)
