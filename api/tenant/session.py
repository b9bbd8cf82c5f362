"""Signing in to the dashboard: an API key is exchanged for an HttpOnly cookie that lasts as long as
the browser.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.http.auth import COOKIE, Viewer, identify
from api.http.json_bodies import JsonRoute
from streams.errors import ForbiddenError

router = APIRouter(
    prefix="/session", tags=["dashboard"], include_in_schema=False, route_class=JsonRoute
)


class SignIn(BaseModel):
    """What the sign-in form posts."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")
    api_key: str = Field(max_length=200)


@router.post("")
async def sign_in(body: SignIn, request: Request, response: Response) -> dict[str, Any]:
    """Raises UnauthorizedError for a wrong key. The header keeps foreign pages from signing a
    visitor in.
    """
    if request.headers.get("x-requested-with") != "dashboard":
        raise ForbiddenError(
            "Only the dashboard signs in here; programs send `Authorization: Bearer ce_…`."
        )
    who = await identify(request, body.api_key)
    is_secure = request.app.state.settings.public_url.startswith(
        "https:"
    )  # behind a proxy the request itself says http
    response.set_cookie(COOKIE, body.api_key, httponly=True, samesite="strict", secure=is_secure)
    return {"success": True, "data": {"tenantId": who.tenant_id, "role": who.role}}


@router.get("")
async def current(who: Viewer) -> dict[str, Any]:
    return {"success": True, "data": {"tenantId": who.tenant_id, "role": who.role}}


@router.delete("")
async def sign_out(response: Response) -> dict[str, Any]:
    response.delete_cookie(COOKIE)
    return {"success": True, "data": None}
