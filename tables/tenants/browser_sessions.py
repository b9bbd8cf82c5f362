"""Browsers that are signed in to the dashboard, and the codes that sign one in, once.

Both are 256 random bits, of which only the SHA-256 is stored, and both belong to the secret of an
API key: they are good while it is. A rotated key takes its sessions along when the grace of the old
secret is over.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from streams.errors import TenantSuspendedError
from tables.database.statements import Statements
from tables.tenants.api_keys import Caller, parts_of, verify

CODE_LIFE = timedelta(minutes=10)
#: A session ends when it is not used for so long, and after so long in any case.
IDLE, LONGEST = timedelta(hours=8), timedelta(days=7)
#: Of one key. The codes and sessions beyond are those that would end first: they end at once.
MOST_CODES, MOST_SESSIONS = 10, 50
# Using a session writes its row when its end would move by so much: no write for each request.
_STEP = timedelta(minutes=5)
_RANDOM = re.compile(r"[A-Za-z0-9_-]{43}")
# `k` is the key, `its` the code or session that belongs to it.
_IS_GOOD = """
       k.id = its.key_id AND k.revoked_at IS NULL
       AND (k.expires_at IS NULL OR k.expires_at > now())
       AND (k.secret_sha256 = its.secret_sha256
            OR (k.previous_sha256 = its.secret_sha256 AND k.previous_expires_at > now()))"""
_MAKE_CODE = """
INSERT INTO sign_in_codes (code_sha256, key_id, secret_sha256, expires_at)
VALUES (%(code)s, %(key_id)s, %(secret)s, now() + %(life)s)
RETURNING expires_at"""
_OPEN = """
INSERT INTO browser_sessions
       (id_sha256, key_id, user_id, role, secret_sha256, expires_at, ends_at)
SELECT %(session)s, k.id, k.user_id, k.role, its.secret_sha256,
       now() + %(idle)s, now() + %(longest)s"""
# The row is gone before another transaction can read it: of two at once, one finds it.
_OPEN_BY_CODE = f"""
WITH its AS (DELETE FROM sign_in_codes WHERE code_sha256 = %(code)s RETURNING *)
{_OPEN}
  FROM its JOIN api_keys k ON {_IS_GOOD}
 WHERE its.expires_at > now()"""
_OPEN_BY_KEY = f"""
WITH its AS (SELECT %(key_id)s AS key_id, %(secret)s AS secret_sha256)
{_OPEN}
  FROM its JOIN api_keys k ON {_IS_GOOD}"""
_RESUME = f"""
SELECT k.tenant_id, k.user_id, k.role, k.id AS key_id,
       its.expires_at < least(now() + %(idle)s, its.ends_at) - %(step)s AS is_due,
       t.suspended_at IS NOT NULL AS is_suspended
  FROM browser_sessions its
  JOIN api_keys k ON {_IS_GOOD} AND k.user_id = its.user_id AND k.role = its.role
  JOIN tenants t ON t.id = k.tenant_id
 WHERE its.id_sha256 = %(session)s AND its.expires_at > now()"""
_USE = """
UPDATE browser_sessions
   SET expires_at = least(now() + %(idle)s, ends_at)
 WHERE id_sha256 = %(session)s AND expires_at > now()"""
_END = "DELETE FROM browser_sessions WHERE id_sha256 = %(session)s"
_KEEP_NEWEST = """
DELETE FROM {table}
 WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM {table} WHERE key_id = %(key_id)s
        ORDER BY expires_at DESC OFFSET %(most)s FOR UPDATE SKIP LOCKED))"""


@dataclass(frozen=True, slots=True)
class _Resumed:
    tenant_id: str
    user_id: UUID
    role: str
    key_id: str
    is_due: bool
    is_suspended: bool


async def make_code(session: Statements, key: str) -> tuple[str, datetime] | None:
    """A code that signs one browser in, and when it ends; None when the text is no good API key.
    Needs a transaction.
    """
    who, parts = await verify(session, key), parts_of(key)
    if who is None or parts is None:
        return None
    code = secrets.token_urlsafe(32)
    ends = await session.value(
        _MAKE_CODE, code=_digest(code), key_id=parts[0], secret=parts[1], life=CODE_LIFE
    )
    await _keep_newest(session, "sign_in_codes", parts[0], MOST_CODES)
    return code, ends


async def open_by_code(session: Statements, code: str) -> tuple[str, Caller] | None:
    """Use the code up: the id of a new session, and whose it is. None for a code that is unknown,
    used or over, or whose key is not good any more. Needs a transaction.
    """
    if not _RANDOM.fullmatch(code):
        return None
    return await _opened(session, _OPEN_BY_CODE, code=_digest(code))


async def open_by_key(session: Statements, key: str) -> tuple[str, Caller] | None:
    """The id of a new session, and whose it is; None for a key that is not good. Needs a
    transaction.
    """
    if await verify(session, key) is None or (parts := parts_of(key)) is None:
        return None
    return await _opened(session, _OPEN_BY_KEY, key_id=parts[0], secret=parts[1])


async def _opened(session: Statements, sql: str, **what: object) -> tuple[str, Caller] | None:
    made = secrets.token_urlsafe(32)
    await session.run(sql, session=_digest(made), idle=IDLE, longest=LONGEST, **what)
    who = await resume(session, made, is_used=False)
    if who is None:
        return None
    await _keep_newest(session, "browser_sessions", who.key_id, MOST_SESSIONS)
    return made, who


async def resume(session: Statements, text: str, *, is_used: bool = True) -> Caller | None:
    """The tenant, user and role of the browser whose cookie this is; None when its session is
    unknown or over, or its key not good any more or of another role.

    One statement, as for a key. A session that `is_used` goes on; a look at it is no use. Raises
    TenantSuspendedError.
    """
    if not _RANDOM.fullmatch(text):
        return None
    digest = _digest(text)
    found = await session.rows(_Resumed, _RESUME, session=digest, idle=IDLE, step=_STEP)
    if not found:
        return None
    [row] = found
    if row.is_suspended:
        raise TenantSuspendedError
    if is_used and row.is_due:
        await session.run(_USE, session=digest, idle=IDLE)
    return Caller(row.tenant_id, row.user_id, row.role, row.key_id)


async def end(session: Statements, text: str) -> None:
    """Sign the browser out; a repeat changes nothing."""
    await session.run(_END, session=_digest(text))


async def _keep_newest(session: Statements, table: str, key_id: str, most: int) -> None:
    await session.run(_KEEP_NEWEST.format(table=table), key_id=key_id, most=most)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
