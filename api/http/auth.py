"""The caller of a request, by a bearer API key or JWT or by the session cookie of a browser that is
signed in to the dashboard; and what the caller's role allows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Request

from api.http.bearer_tokens import is_jwt
from api.http.browsers import cookies, own_page
from api.http.dependencies import Provided, Services
from api.http.problems import correlation_id
from api.limits.addresses import subscriber_of
from streams.errors import ForbiddenError, UnauthorizedError
from streams.settings import Settings
from tables.tenancy import acting
from tables.tenants import browser_sessions
from tables.tenants.api_keys import ROLES, Caller, verify
from tables.tenants.audit import Author
from tables.tenants.tenants import tenant_exists

# for a free connection; every request asks here first, so a frozen database makes 503s and
# no queue
PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True)
class Credential:
    """The text that says who calls: an API key, a JWT, or the id of a browser's session."""

    text: str = field(repr=False)
    is_session: bool = False


def credential(request: Request, settings: Settings) -> Credential | None:
    """The credential of the request, None without one. A cookie counts only for reads that no other
    page makes, and for changes that our own page makes.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return Credential(key.strip())
    is_read = request.method in ("GET", "HEAD")
    is_ours = own_page.may_read(request) if is_read else own_page.may_change(request, settings)
    session = cookies.session_of(request, settings) if is_ours else ""
    return Credential(session, is_session=True) if session else None


async def caller(request: Request, services: Provided) -> Caller:
    """The caller, for whose tenant the request acts from here on.

    Raises UnauthorizedError when the credential is missing, unknown, expired or revoked, and
    RateLimitedError when its address has sent too many such.
    """
    who = await known(request, services)
    acting.act_for(who.tenant_id)
    return who


async def known(request: Request, services: Services, *, is_used: bool = True) -> Caller:
    """`caller`, which may be a look only: a session that is not used comes to its end."""
    given = credential(request, services.settings)
    if given is None:
        raise UnauthorizedError("Send an API key: `Authorization: Bearer ce_…`.")
    if given.is_session:  # not limited: a person whose session is over must learn it
        return await _of_session(services, given.text, is_used=is_used)
    try:
        return await identify(services, given.text)
    except UnauthorizedError:
        address = subscriber_of(request, services.settings)
        services.refused_keys.check(address)
        services.refused_keys.count(address)
        raise


async def _of_session(services: Services, session: str, *, is_used: bool) -> Caller:
    if cookies.holds_key(session):
        raise UnauthorizedError("This browser was signed in by an older version; sign in again.")
    with acting.finding_out_who_calls():
        async with services.database.reading(PATIENCE) as connection:
            named = await browser_sessions.resume(connection, session, is_used=is_used)
    if named is None:
        raise UnauthorizedError("The session is over; sign in again.")
    return named


async def identify(services: Services, credential: str) -> Caller:
    """The caller that the API key or, where an issuer is set, the JWT names.

    Raises UnauthorizedError, ForbiddenError, TenantSuspendedError, DependencyDownError.
    """
    tokens = services.tokens
    named = await tokens.verify(credential) if tokens and is_jwt(credential) else None
    with acting.finding_out_who_calls():
        async with services.database.reading(PATIENCE) as connection:
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


async def author(request: Request, who: Annotated[Caller, Depends(caller)]) -> Author:
    """The caller, as the audit log names it."""
    return Author(str(who.user_id), who.key_id, correlation_id(request))


Acting = Annotated[Author, Depends(author)]


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
