"""The dashboard's page at `/`; public, without a tenant's data."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse

from api.http.browsers import own_page

router = APIRouter(tags=["dashboard"])
_PAGE = (Path(__file__).with_name("dashboard") / "index.html").read_text()
_BY_OTHERS, _DIRECTLY = 'data-arrival="by-others"', 'data-arrival="directly"'


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """The dashboard. It says whether a person opened it or a page of another origin did, whose link
    must not sign a visitor in unasked; a browser that does not tell counts as the latter.
    """
    is_direct = "sec-fetch-site" in request.headers and own_page.may_read(request)
    return HTMLResponse(_PAGE.replace(_BY_OTHERS, _DIRECTLY) if is_direct else _PAGE)
