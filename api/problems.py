"""Every refusal as `application/problem+json` (RFC 9457): what is wrong, which rule, which limit, and the correlation id to quote."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from streams.errors import CampaignError, DependencyDownError

log = logging.getLogger(__name__)

_TITLES: Mapping[int, str] = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "The role does not allow this",
    404: "Not found",
    405: "Method not allowed",
    413: "The request is too large",
    422: "A rule is broken",
    500: "Something went wrong here",
    503: "A dependency is down",
}


def correlation_id(request: Request) -> str:
    """The caller's `X-Correlation-Id` (1-128 characters), else one made for this request."""
    state = request.state
    if not hasattr(state, "correlation_id"):
        given = request.headers.get("x-correlation-id", "")
        state.correlation_id = given if 1 <= len(given) <= 128 and given.isprintable() else str(uuid4())
    return str(state.correlation_id)


def problem(
    request: Request,
    status: int,
    detail: str,
    *,
    code: str = "",
    title: str = "",
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem document with our extension members `success`, `errors`, `correlationId`."""
    body: dict[str, Any] = {
        "success": False,
        "type": f"urn:campaigns:problem:{code}" if code else "about:blank",
        "title": title or _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "errors": errors or [],
        "correlationId": correlation_id(request),
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def of_error(request: Request, error: CampaignError) -> Response:
    errors = [{"field": wrong.field, "message": wrong.message} for wrong in error.errors]
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {"Retry-After": "5"} if error.status in (429, 503) else None
    return problem(request, error.status, error.detail, code=error.code, title=error.title, errors=errors, headers=headers)


def install(app: FastAPI) -> None:
    """Registers the handlers; nothing leaves the application as a bare text or a stack trace."""

    @app.exception_handler(CampaignError)
    async def _refused(request: Request, error: CampaignError) -> Response:
        return of_error(request, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        wrong = error.errors()
        if any(item["type"] == "json_invalid" for item in wrong):
            return problem(request, 400, "The body is not valid JSON.", code="malformed")
        fields = [
            {"field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), "message": str(item["msg"])} for item in wrong
        ]
        return problem(request, 422, "; ".join(f"{f['field']}: {f['message']}" for f in fields), code="rule-broken", errors=fields)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return problem(request, error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(asyncpg.PostgresConnectionError)
    @app.exception_handler(asyncpg.CannotConnectNowError)
    @app.exception_handler(asyncpg.InterfaceError)
    @app.exception_handler(OSError)
    @app.exception_handler(TimeoutError)
    async def _down(request: Request, error: Exception) -> Response:
        log.warning("a dependency did not answer a request", extra={"error": type(error).__name__})
        return of_error(request, DependencyDownError("PostgreSQL does not answer. Nothing was changed; try again."))

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error, extra={"correlationId": correlation_id(request)})
        return problem(request, 500, "The request failed because of a bug. It was logged under this correlation id.", code="internal")
