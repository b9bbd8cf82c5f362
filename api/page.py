"""The dashboard's page at `/`; public, without a tenant's data."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse

router = APIRouter(tags=["dashboard"])
_PAGE = (Path(__file__).with_name("dashboard") / "index.html").read_text()


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The dashboard, the same for everybody and however it was reached."""
    return HTMLResponse(_PAGE)
