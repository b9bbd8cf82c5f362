"""The caller of a request, by a bearer API key or JWT or by the dashboard's session cookie, which
holds a key; and what the caller's role allows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request

from api.http.bearer_tokens import is_jwt
from api.http.dependencies import Provided, Services
from streams.errors import ForbiddenError, UnauthorizedError
from tables.tenants.api_keys import ROLES, Caller, verify
from tables.tenants.tenants import tenant_exists

COOKIE = "campaigns_session"
# for a free connection; every request asks here first, so a frozen database makes 503s and
# no queue
_PATIENCE = timedelta(seconds=5)


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


async def caller(request: Request, services: Provided) -> Caller:
    """Raises UnauthorizedError when the credential is missing, unknown, expired or revoked."""
    key = api_key(request)
    if not key:
        raise UnauthorizedError("Send an API key: `Authorization: Bearer ce_…`.")
    return await identify(services, key)


async def identify(services: Services, credential: str) -> Caller:
    """The caller that the API key or, where an issuer is set, the JWT names.

    Raises UnauthorizedError, ForbiddenError, DependencyDownError.
    """
    tokens = services.tokens
    named = await tokens.verify(credential) if tokens and is_jwt(credential) else None
    async with services.database.reading(_PATIENCE) as connection:
        if named is None:
            named = await verify(connection, credential)
        elif not await tenant_exists(connection, named.tenant_id):
            raise ForbiddenError("There is no tenant of the name that the token names.")
    if named is None:
        raise UnauthorizedError("The API key is unknown, expired or revoked.")
    return named


async def counted(
    request: Request, services: Provided, who: Annotated[Caller, Depends(caller)]
) -> Caller:
    """The caller, one request of whom is counted: those that remain go into the answer's headers
    (api/http/limits.py). Raises RateLimitedError.
    """
    request.state.quota = services.rate_limit.take(who.key_id, who.tenant_id)
    return who


async def _admitted(
    request: Request, services: Provided, who: Annotated[Caller, Depends(counted)]
) -> AsyncIterator[Caller]:
    """Holds one of the tenant's slots until the route has returned. Raises RateLimitedError."""
    try:
        async with services.slots.of_request(request, who.tenant_id):
            yield who
    finally:
        if request.method not in ("GET", "HEAD"):
            services.pollers.nudge(who.tenant_id)


def is_at_least(who: Caller, role: str) -> bool:
    """Whether the caller has this role or a higher one."""
    return ROLES.index(who.role) >= ROLES.index(role)


_Admitted = Annotated[Caller, Depends(_admitted, scope="function")]


@dataclass(frozen=True)
class AtLeast:
    """A dependency that lets this role and higher ones pass: viewer < editor < sender < admin."""

    role: str

    async def __call__(self, who: _Admitted) -> Caller:
        if not is_at_least(who, self.role):
            raise ForbiddenError(f"This needs the role {self.role}; the key's role is {who.role}.")
        return who


Viewer = Annotated[Caller, Depends(AtLeast("viewer"))]
Editor = Annotated[Caller, Depends(AtLeast("editor"))]
Sender = Annotated[Caller, Depends(AtLeast("sender"))]
Admin = Annotated[Caller, Depends(AtLeast("admin"))]
