"""Tenants, their limits, and the API keys that name tenant, user and role."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import psycopg

from streams.contracts.commands import TENANT_ID
from streams.errors import CampaignError, ConflictError, FieldError, NotFoundError
from streams.records.sending import Limits
from tables.database.connection import Connection

ROLES = ("viewer", "editor", "sender", "admin")  # each may do what the ones before it may
_KEY = re.compile(r"ce_(?:live|test)_([0-9a-f]{16})_([0-9a-f]{64})")
_NOBODY = hashlib.sha256(
    b""
).digest()  # compared with when no such key exists, so that both ways take the same time
_HIGHEST_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant; a limit of None means none."""

    id: str
    hourly_limit: int | None
    daily_limit: int | None
    created_at: datetime

    @property
    def limits(self) -> Limits:
        return Limits(per_hour=self.hourly_limit, per_day=self.daily_limit)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom an API key names."""

    tenant_id: str
    user_id: UUID
    role: str
    key_id: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `text` is shown once: only its SHA-256 is stored."""

    text: str
    id: str
    user_id: UUID


async def create_tenant(
    connection: Connection, tenant_id: str, *, hourly: int | None = None, daily: int | None = None
) -> Tenant:
    """Raises CampaignError for a bad name or limit and ConflictError when the tenant exists."""
    if errors := tuple(_mistakes(tenant_id, hourly, daily)):
        raise CampaignError("; ".join(error.message for error in errors), errors=errors)
    row = await connection.fetchrow(
        "INSERT INTO tenants (id, hourly_limit, daily_limit) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING *",
        tenant_id,
        hourly,
        daily,
    )
    if row is None:
        raise ConflictError(f"The tenant {tenant_id} exists already.")
    return Tenant(**row)


def _mistakes(tenant_id: str, hourly: int | None, daily: int | None) -> list[FieldError]:
    found = []
    if not TENANT_ID.fullmatch(tenant_id):
        found.append(
            FieldError(
                "tenantId",
                "a tenant's name is 1 to 63 of a-z, 0-9 and -, and does not start with -",
            )
        )
    for name, limit in (("hourly", hourly), ("daily", daily)):
        if limit is not None and not 1 <= limit <= _HIGHEST_LIMIT:
            found.append(
                FieldError(
                    name,
                    f"the {name} limit is at least 1 and at most {_HIGHEST_LIMIT:,}; leave it out for none",
                )
            )
    return found


async def get_tenant(connection: Connection, tenant_id: str) -> Tenant:
    """Raises NotFoundError."""
    row = await connection.fetchrow("SELECT * FROM tenants WHERE id = $1", tenant_id)
    if row is None:
        raise NotFoundError(f"There is no tenant {tenant_id}.")
    return Tenant(**row)


async def tenant_exists(connection: Connection, tenant_id: str) -> bool:
    return bool(
        await connection.fetchval("SELECT EXISTS (SELECT 1 FROM tenants WHERE id = $1)", tenant_id)
    )


async def create_key(
    connection: Connection,
    tenant_id: str,
    *,
    role: str = "admin",
    user_id: UUID | None = None,
    is_live: bool = True,
    expires_at: datetime | None = None,
    name: str | None = None,
) -> NewKey:
    """`ce_<live|test>_<id>_<secret>` for a user, a new one when none is named. Raises NotFoundError
    for an unknown tenant.
    """
    if role not in ROLES:
        raise CampaignError(
            f"role: one of {', '.join(ROLES)}",
            errors=(FieldError("role", f"one of {', '.join(ROLES)}"),),
        )
    key_id, secret, user = secrets.token_hex(8), secrets.token_hex(32), user_id or uuid4()
    try:
        await connection.execute(
            "INSERT INTO api_keys (id, tenant_id, user_id, role, secret_sha256, expires_at, name) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            *(key_id, tenant_id, user, role, digest(secret), expires_at, name),
        )
    except psycopg.errors.ForeignKeyViolation as error:
        raise NotFoundError(f"There is no tenant {tenant_id}.") from error
    return NewKey(key_text(key_id, secret, is_live), key_id, user)


def key_text(key_id: str, secret: str, is_live: bool = True) -> str:
    """A key as its user holds it."""
    return f"ce_{'live' if is_live else 'test'}_{key_id}_{secret}"


async def verify(connection: Connection, text: str) -> Caller | None:
    """Whom the key names; None when it is malformed, unknown, expired or revoked. The secret is
    compared in constant time.
    """
    if (parts := _KEY.fullmatch(text)) is None:
        return None
    row = await connection.fetchrow(
        "SELECT tenant_id, user_id, role, id AS key_id, secret_sha256,"
        " CASE WHEN previous_expires_at > now() THEN previous_sha256 END AS previous_sha256 FROM api_keys"
        " WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
        parts[1],
    )
    given = digest(parts[2])
    is_newest = hmac.compare_digest(given, row["secret_sha256"] if row else _NOBODY)
    is_previous = hmac.compare_digest(
        given, (row["previous_sha256"] if row else None) or _NOBODY
    )  # rotated, in its period of grace
    is_right = is_newest or is_previous
    return (
        Caller(row["tenant_id"], row["user_id"], row["role"], row["key_id"])
        if row and is_right
        else None
    )


async def revoke_key(connection: Connection, tenant_id: str, key_id: str) -> None:
    """From now on the key does not verify. Raises NotFoundError."""
    statement = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE tenant_id = $1 AND id = $2 RETURNING id"
    if await connection.fetchval(statement, tenant_id, key_id) is None:
        raise NotFoundError("There is no such API key.")


def digest(secret: str) -> bytes:
    """What is stored of a secret of 256 random bits: a plain hash is enough, there is nothing to
    guess.
    """
    return hashlib.sha256(secret.encode()).digest()
