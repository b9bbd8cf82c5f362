"""Signing in to the dashboard: an API key is exchanged for an HttpOnly cookie that lasts as long as
the browser.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from api.http.auth import COOKIE, Viewer, identify
from api.http.dependencies import Provided
from api.http.envelope import Success, success
from api.http.json_bodies import JsonRoute
from api.tenant.schemas import SignedIn, SignIn
from api.tenant.sign_ins import few_failures
from streams.errors import ForbiddenError

router = APIRouter(
    prefix="/session", tags=["dashboard"], include_in_schema=False, route_class=JsonRoute
)


@router.post("", dependencies=[Depends(few_failures)])
async def sign_in(
    body: SignIn, request: Request, response: Response, services: Provided
) -> Success[SignedIn]:
    """Raises UnauthorizedError for a wrong key. The header keeps foreign pages from signing a
    visitor in.
    """
    if request.headers.get("x-requested-with") != "dashboard":
        raise ForbiddenError(
            "Only the dashboard signs in here; programs send `Authorization: Bearer ce_…`."
        )
    who = await identify(services, body.api_key)
    # behind a proxy the request itself says http
    is_secure = services.settings.public_url.startswith("https:")
    response.set_cookie(COOKIE, body.api_key, httponly=True, samesite="strict", secure=is_secure)
    return success(SignedIn.of_row(who))


@router.get("")
async def current(who: Viewer) -> Success[SignedIn]:
    """The tenant and the role of the cookie."""
    return success(SignedIn.of_row(who))


@router.delete("")
async def sign_out(response: Response) -> Success[None]:
    """Remove the cookie."""
    response.delete_cookie(COOKIE)
    return success(None)
