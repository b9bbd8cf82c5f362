"""Who is calling: a bearer API key, or the dashboard's session cookie that holds one; and what the key's role allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from streams.errors import ForbiddenError, UnauthorizedError
from tables.sql.database import translated
from tables.sql.tenants import ROLES, Caller, verify

COOKIE = "campaigns_session"
_PATIENCE = 5.0  # seconds for a free connection; every request asks here first, so a frozen database makes 503s and no queue


def api_key(request: Request) -> str:
    """The key of the request. A cookie counts only for reads and for requests our own page made (a foreign page cannot set the header)."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    is_ours = request.method in ("GET", "HEAD") or request.headers.get("x-requested-with") == "dashboard"
    return request.cookies.get(COOKIE, "") if is_ours else ""


async def caller(request: Request) -> Caller:
    """Raises UnauthorizedError when the key is missing, unknown, expired or revoked."""
    key = api_key(request)
    if not key:
        raise UnauthorizedError("Send an API key: `Authorization: Bearer ce_…`.")
    return await identify(request, key)


async def identify(request: Request, key: str) -> Caller:
    """Whom the key names. Raises UnauthorizedError."""
    with translated():
        async with request.app.state.pool.acquire(timeout=_PATIENCE) as connection:
            found = await verify(connection, key)
    if found is None:
        raise UnauthorizedError("The API key is unknown, expired or revoked.")
    return found


def at_least(role: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that lets only this role and higher ones pass: viewer < editor < sender < admin."""

    async def allowed(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if ROLES.index(who.role) < ROLES.index(role):
            raise ForbiddenError(f"This needs the role {role}; the key's role is {who.role}.")
        return who

    return allowed


Viewer = Annotated[Caller, Depends(at_least("viewer"))]
Editor = Annotated[Caller, Depends(at_least("editor"))]
Sender = Annotated[Caller, Depends(at_least("sender"))]
