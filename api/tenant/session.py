"""Signing in to the dashboard: an API key, or the code of a link that works once, is exchanged for
an HttpOnly cookie with the id of a session.

Nothing replaces the session of a browser that is signed in: whoever opens a link has to sign out
first.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from api.http.auth import PATIENCE, Viewer, credential
from api.http.browsers import cookies, own_page
from api.http.dependencies import Provided, Services, Transaction
from api.http.envelope import Success, success
from api.http.json_bodies import JsonRoute
from api.tenant.schemas import NewCode, SignedIn, SignIn
from api.tenant.sign_ins import few_failures
from streams.errors import ConflictError, ForbiddenError, UnauthorizedError
from tables.tenants import browser_sessions

router = APIRouter(
    prefix="/session", tags=["dashboard"], include_in_schema=False, route_class=JsonRoute
)


@router.post("", dependencies=[Depends(few_failures)])
async def sign_in(
    body: SignIn, request: Request, response: Response, services: Provided
) -> Success[SignedIn]:
    """Raises UnauthorizedError for a wrong key or code, ConflictError for a browser that is signed
    in, and ForbiddenError for a request of a foreign page, which must not sign a visitor in.
    """
    _check_page(request, services)
    before = cookies.session_of(request, services.settings)
    async with services.database.transaction(PATIENCE) as transaction:
        if now := await browser_sessions.resume(transaction, before, is_used=False):
            raise ConflictError(
                f"This browser is signed in to {now.tenant_id} as {now.role}; sign out first."
            )
        if body.code is not None:
            made = await browser_sessions.open_by_code(transaction, body.code)
            wrong = "The link is used or older than ten minutes; `campaigns sign-in` prints another"
        else:
            made = await browser_sessions.open_by_key(transaction, body.api_key or "")
            wrong = "The API key is unknown, expired or revoked"
        if made is None:
            raise UnauthorizedError(f"{wrong}.")
    session, who = made
    cookies.keep(request, response, services.settings, session)
    return success(SignedIn.of_row(who))


@router.post("/codes", status_code=201)
async def make_code(
    who: Viewer, request: Request, services: Provided, transaction: Transaction
) -> Success[NewCode]:
    """A code for the link of `campaigns sign-in`. Only an API key makes one: a session that could
    would have no end, and a JWT has a sign-in of its own.
    """
    given = credential(request, services.settings)
    is_key = given is not None and not given.is_session
    made = await browser_sessions.make_code(transaction, given.text) if given and is_key else None
    if made is None:
        raise ForbiddenError("Only an API key makes codes for signing in, in the header.")
    code, expires_at = made
    return success(NewCode(code=code, expires_at=expires_at))


@router.get("")
async def current(who: Viewer) -> Success[SignedIn]:
    """The tenant and the role of the cookie."""
    return success(SignedIn.of_row(who))


@router.delete("")
async def sign_out(request: Request, response: Response, services: Provided) -> Success[None]:
    """End the session and take its cookie away. Raises ForbiddenError for a foreign page."""
    _check_page(request, services)
    if session := cookies.session_of(request, services.settings):
        async with services.database.transaction(PATIENCE) as transaction:
            await browser_sessions.end(transaction, session)
    cookies.forget(request, response)
    return success(None)


def _check_page(request: Request, services: Services) -> None:
    if not own_page.may_change(request, services.settings):
        raise ForbiddenError(
            "Only the dashboard signs in and out here; programs send `Authorization: Bearer ce_…`."
        )
