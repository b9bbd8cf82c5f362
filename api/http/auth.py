"""Who is calling: a bearer API key or JWT, or the dashboard's session cookie that holds a key; and
what the caller's role allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.http.bearer_tokens import is_jwt
from streams.errors import ForbiddenError, UnauthorizedError
from tables.database.connection import Connection
from tables.database.failures import translated
from tables.tenants.tenants import ROLES, Caller, verify

COOKIE = "campaigns_session"
# seconds for a free connection; every request asks here first, so a frozen database makes 503s and
# no queue
_PATIENCE = 5.0


def api_key(request: Request) -> str:
    """The key of the request. A cookie counts only for reads and for requests our own page made (a
    foreign page cannot set the header).
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    is_ours = (
        request.method in ("GET", "HEAD") or request.headers.get("x-requested-with") == "dashboard"
    )
    return request.cookies.get(COOKIE, "") if is_ours else ""


async def caller(request: Request) -> Caller:
    """Raises UnauthorizedError when the credential is missing, unknown, expired or revoked."""
    key = api_key(request)
    if not key:
        raise UnauthorizedError("Send an API key: `Authorization: Bearer ce_…`.")
    return await identify(request, key)


async def identify(request: Request, credential: str) -> Caller:
    """Whom the API key or, where an issuer is set, the JWT names. Raises UnauthorizedError,
    ForbiddenError, DependencyDownError.
    """
    state = request.app.state
    named = await state.tokens.verify(credential) if state.tokens and is_jwt(credential) else None
    with translated():
        async with state.pool.acquire(timeout=_PATIENCE) as connection:
            if named is None:
                named = await verify(connection, credential)
            elif not await _exists(connection, named.tenant_id):
                raise ForbiddenError("There is no tenant of the name that the token names.")
    if named is None:
        raise UnauthorizedError("The API key is unknown, expired or revoked.")
    return named


async def _exists(connection: Connection, tenant: str) -> bool:
    return bool(
        await connection.fetchval("SELECT EXISTS (SELECT 1 FROM tenants WHERE id = $1)", tenant)
    )


async def _counted(request: Request, who: Annotated[Caller, Depends(caller)]) -> Caller:
    """Raises RateLimitedError. What the caller has left goes into the answer's headers
    (api/http/limits.py).
    """
    request.state.quota = request.app.state.rate_limit.take(who.key_id)
    return who


@dataclass(frozen=True)
class AtLeast:
    """A dependency that lets only this role and higher ones pass: viewer < editor < sender < admin."""

    role: str

    async def __call__(self, who: Annotated[Caller, Depends(_counted)]) -> Caller:
        if ROLES.index(who.role) < ROLES.index(self.role):
            raise ForbiddenError(f"This needs the role {self.role}; the key's role is {who.role}.")
        return who


Viewer = Annotated[Caller, Depends(AtLeast("viewer"))]
Editor = Annotated[Caller, Depends(AtLeast("editor"))]
Sender = Annotated[Caller, Depends(AtLeast("sender"))]
Admin = Annotated[Caller, Depends(AtLeast("admin"))]
