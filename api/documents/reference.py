"""The page at `/docs`: the API's reference in Swagger UI, whose files come from the package
`fastapi-swagger` and from nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

_FOLDER = Path(__file__).parents[1] / "reference_page"


async def _page(request: Request) -> Response:
    return FileResponse(_FOLDER / "index.html")


async def _start(request: Request) -> Response:
    return FileResponse(_FOLDER / "start.js")


routes = (
    Route("/docs", _page),
    Route("/docs/start.js", _start),
    Mount("/docs/swagger", StaticFiles(packages=[("fastapi_swagger", "resources")])),
)
