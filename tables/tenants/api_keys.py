"""API keys, which name tenant, user and role: made, verified, listed without their secrets, rotated
and revoked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Select, case, func, insert, or_, select, update

from streams.contracts.envelope import Record, rfc3339
from streams.errors import (
    CampaignError,
    ConflictError,
    FieldError,
    NotFoundError,
    TenantSuspendedError,
)
from tables.database.connection import Session
from tables.database.statements import Statements
from tables.models import ApiKey
from tables.tenants.audit import ENGINE, Action, Author, note
from tables.tenants.tenants import lock_tenant

ROLES = ("viewer", "editor", "sender", "admin")  # each may do what the ones before it may
MOST_KEYS = 100  # good keys of a tenant
_KEY = re.compile(r"ce_(?:live|test)_([0-9a-f]{16})_([0-9a-f]{64})")
# compared with when no such key exists, so that both ways take the same time
_NO_SECRET = hashlib.sha256(b"").digest()
_IS_GOOD = ApiKey.revoked_at.is_(None) & or_(
    ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()
)
_IS_IN_GRACE = ApiKey.previous_expires_at > func.now()
_KNOWN = """
SELECT k.tenant_id, k.user_id, k.role, k.secret_sha256,
       CASE WHEN k.previous_expires_at > now() THEN k.previous_sha256 END AS before_rotation,
       t.suspended_at IS NOT NULL AS is_suspended
FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
WHERE k.id = %(key_id)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant, user and role that an API key or a token names."""

    tenant_id: str
    user_id: UUID
    role: str
    key_id: str


@dataclass(frozen=True, slots=True)
class _Known:
    tenant_id: str
    user_id: UUID
    role: str
    secret_sha256: bytes
    before_rotation: bytes | None
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `text` is shown once: only its SHA-256 is stored."""

    text: str
    id: str
    user_id: UUID


class ListedKey(Record, frozen=True):
    """A key without its secrets. Until `previous_expires_at` the secret before the last rotation is
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


async def create_key(
    session: Session,
    tenant_id: str,
    *,
    role: str = "admin",
    user_id: UUID | None = None,
    is_live: bool = True,
    expires_at: datetime | None = None,
    name: str | None = None,
    by: Author = ENGINE,
) -> NewKey:
    """`ce_<live|test>_<id>_<secret>` for a user, a new one when none is named.

    Raises NotFoundError for an unknown tenant, CampaignError for an unknown role, and
    ConflictError when the tenant has MOST_KEYS good ones.
    """
    if role not in ROLES:
        rule = f"one of {', '.join(ROLES)}"
        raise CampaignError(f"role: {rule}", errors=(FieldError("role", rule),))
    await lock_tenant(session, tenant_id)
    good = select(func.count()).where(ApiKey.tenant_id == tenant_id, _IS_GOOD)
    if (count := await session.scalar(good) or 0) >= MOST_KEYS:
        raise ConflictError(
            f"The tenant has {count} API keys that are good, the limit is {MOST_KEYS};"
            " revoke one first."
        )
    key_id, secret, user = secrets.token_hex(8), secrets.token_hex(32), user_id or uuid4()
    new = insert(ApiKey).values(
        id=key_id,
        tenant_id=tenant_id,
        user_id=user,
        role=role,
        secret_sha256=_digest(secret),
        expires_at=expires_at,
        name=name,
    )
    await session.execute(new)
    set_to = {
        "role": role,
        "userId": str(user),
        "expiresAt": rfc3339(expires_at) if expires_at else None,
    }
    await note(session, tenant_id, by, Action.KEY_CREATED, subject=key_id, details=set_to)
    return NewKey(_text_of(key_id, secret, is_live), key_id, user)


def _text_of(key_id: str, secret: str, is_live: bool = True) -> str:
    """A key as its user holds it."""
    return f"ce_{'live' if is_live else 'test'}_{key_id}_{secret}"


async def verify(session: Statements, text: str) -> Caller | None:
    """The tenant, user and role that the key names; None when it is malformed, unknown, expired or
    revoked. The secret is compared in constant time.

    Raises TenantSuspendedError for a good key of a tenant that is suspended.
    """
    if (parts := parts_of(text)) is None:
        return None
    key_id, given = parts
    row = next(iter(await session.rows(_Known, _KNOWN, key_id=key_id)), None)
    stored = row.secret_sha256 if row else _NO_SECRET
    is_right = hmac.compare_digest(given, stored)
    is_right |= hmac.compare_digest(given, (row and row.before_rotation) or _NO_SECRET)
    if row is None or not is_right:
        return None
    if row.is_suspended:
        raise TenantSuspendedError
    return Caller(row.tenant_id, row.user_id, row.role, key_id)


def parts_of(text: str) -> tuple[str, bytes] | None:
    """The id of a key and the digest of its secret, which may be wrong; None for a text that is no
    key.
    """
    parts = _KEY.fullmatch(text)
    return (parts[1], _digest(parts[2])) if parts else None


async def list_keys(
    session: Session, tenant: str, *, limit: int = 100, offset: int = 0
) -> tuple[list[ListedKey], int]:
    """A page, newest first, expired and revoked ones included, and how many there are."""
    newest = _listed(tenant).order_by(ApiKey.created_at.desc(), ApiKey.id)
    rows = (await session.execute(newest.limit(limit).offset(offset))).all()
    total = await session.scalar(select(func.count()).where(ApiKey.tenant_id == tenant))
    return [ListedKey(**row._asdict()) for row in rows], total or 0


async def get_key(session: Session, tenant: str, key_id: str) -> ListedKey:
    """Raises NotFoundError."""
    row = (await session.execute(_listed(tenant).where(ApiKey.id == key_id))).first()
    if row is None:
        raise _unknown(key_id)
    return ListedKey(**row._asdict())


async def key_row(session: Session, tenant: str, key_id: str) -> ApiKey:
    """The key with the digests of its secrets, which are never shown. Raises NotFoundError."""
    mine = select(ApiKey).where(ApiKey.tenant_id == tenant, ApiKey.id == key_id)
    found = await session.first(mine)
    if found is None:
        raise _unknown(key_id)
    return found


async def lock_key(session: Session, tenant: str, key_id: str) -> ApiKey:
    """`key_row`, and no other transaction rotates or revokes a key of the tenant that way until
    this one ends.
    """
    await lock_tenant(session, tenant)  # before the key's row, as `retire_key` does
    mine = select(ApiKey.id).where(ApiKey.tenant_id == tenant, ApiKey.id == key_id)
    await session.scalar(mine.with_for_update())
    return await key_row(session, tenant, key_id)


def _listed(tenant: str) -> Select[*tuple[object, ...]]:
    shown = {name: getattr(ApiKey, name) for name in ListedKey.__struct_fields__}
    shown["previous_expires_at"] = case((_IS_IN_GRACE, ApiKey.previous_expires_at))
    return select(*(column.label(name) for name, column in shown.items())).where(
        ApiKey.tenant_id == tenant
    )


async def rotate_key(
    session: Session, tenant: str, key_id: str, grace: timedelta, by: Author = ENGINE
) -> str:
    """Give the key a new secret and return its text. The secret before it is good for `grace`
    longer, an even older one no more.

    Raises NotFoundError, and ConflictError for a key that is expired or revoked.
    """
    secret = secrets.token_hex(32)
    await get_key(session, tenant, key_id)
    rotated = (
        update(ApiKey)
        .where(ApiKey.tenant_id == tenant, ApiKey.id == key_id, _IS_GOOD)
        .values(
            previous_sha256=ApiKey.secret_sha256,
            previous_expires_at=func.now() + grace,
            secret_sha256=_digest(secret),
        )
    )
    if not await session.changed(rotated):
        raise ConflictError("The API key is expired or revoked; make a new one.")
    still_good = {"gracePeriodSeconds": round(grace.total_seconds())}
    await note(session, tenant, by, Action.KEY_ROTATED, subject=key_id, details=still_good)
    return _text_of(key_id, secret)


async def retire_key(session: Session, tenant: str, key_id: str, by: Author = ENGINE) -> None:
    """Revoke the key; a repeat changes nothing.

    Raises NotFoundError, and ConflictError for the last good key with the role admin: without one
    no other key could be made.
    """
    await lock_tenant(session, tenant)  # two admins who revoke each other
    await get_key(session, tenant, key_id)
    admins = select(ApiKey.id).where(ApiKey.tenant_id == tenant, ApiKey.role == "admin", _IS_GOOD)
    if (await session.scalars(admins)).all() == [key_id]:
        raise ConflictError(
            "This is the tenant's last good API key with the role admin; make another one first."
        )
    await revoke_key(session, tenant, key_id, by)


async def revoke_key(session: Session, tenant_id: str, key_id: str, by: Author = ENGINE) -> None:
    """From now on the key does not verify; a repeat changes nothing. Raises NotFoundError."""
    revoked = (
        update(ApiKey)
        .where(ApiKey.tenant_id == tenant_id, ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    if await session.changed(revoked):
        await note(session, tenant_id, by, Action.KEY_REVOKED, subject=key_id)
    else:
        await get_key(session, tenant_id, key_id)


def _unknown(key_id: str) -> NotFoundError:
    return NotFoundError(f"There is no API key {key_id}.")


def _digest(secret: str) -> bytes:
    """The form in which a secret is stored. It has 256 random bits, so there is nothing to guess
    and a plain hash is enough.
    """
    return hashlib.sha256(secret.encode()).digest()
