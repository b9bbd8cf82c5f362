"""Every refusal as `application/problem+json` (RFC 9457): what is wrong, which rule, which limit,
and the correlation id to quote.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from api.http.browsers import cookies
from streams.contracts.bodies import sentence
from streams.errors import CampaignError, RateLimitedError

log = logging.getLogger(__name__)

TITLES: Mapping[int, str] = {
    400: "Malformed request",
    401: "Not authenticated",
    403: "The role does not allow this",
    404: "Not found",
    405: "Method not allowed",
    408: "The request came too slowly",
    409: "Conflict",
    412: "A condition does not hold",
    413: "The request is too large",
    414: "The address is too long",
    415: "Unsupported content type",
    422: "A rule is broken",
    429: "Too many requests",
    500: "Something went wrong here",
    503: "A dependency is down",
}
METHOD_NOT_ALLOWED = "This address does not know the method."
_LISTED = 50  # broken rules named in one answer
# The framework's words for these two say less.
_DETAILS: Mapping[int, str] = {404: "There is nothing at this address.", 405: METHOD_NOT_ALLOWED}
# `type` of what the framework refuses before our code sees it; our own errors name theirs.
_CODES: Mapping[int, str] = {
    400: "malformed",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    413: "too-large",
    415: "unsupported-content-type",
}


def correlation_id(request: Request) -> str:
    """The caller's `X-Correlation-Id` (1-128 characters), else one made for this request."""
    state = request.state
    if not hasattr(state, "correlation_id"):
        given = request.headers.get("x-correlation-id", "")
        state.correlation_id = (
            given if 1 <= len(given) <= 128 and given.isprintable() else str(uuid4())
        )
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
        "title": title or TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "errors": errors or [],
        "correlationId": correlation_id(request),
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def of_error(request: Request, error: CampaignError) -> Response:
    errors = [{"field": wrong.field, "message": wrong.message} for wrong in error.errors]
    detail = error.detail if len(errors) <= _LISTED else _listed(errors)
    answer = problem(
        request,
        error.status,
        detail,
        code=error.code,
        title=error.title,
        errors=errors[:_LISTED],
        headers=dict(_headers(error)),
    )
    if error.status == 401:
        cookies.forget_keys(request, answer)
    return answer


def _headers(error: CampaignError) -> Iterator[tuple[str, str]]:
    if error.status == 401:
        yield "WWW-Authenticate", "Bearer"
    if error.status in (429, 503):
        yield "Retry-After", str(error.retry_after) if isinstance(error, RateLimitedError) else "5"
    if error.status == 412:
        yield from (("ETag", wrong.message) for wrong in error.errors if wrong.field == "ETag")


def _listed(errors: Sequence[dict[str, str]]) -> str:
    """All errors in one line, the first 50 when there are more: 100,000 wrong fields do not get
    100,000 sentences.
    """
    more = f"; and {len(errors) - _LISTED:,} more" if len(errors) > _LISTED else ""
    return "; ".join(f"{one['field']}: {one['message']}" for one in errors[:_LISTED]) + more


def _of_validation(request: Request, wrong: Sequence[Any]) -> Response:
    """A wrong header is malformed (400); everything else breaks a rule (422)."""
    fields = [
        {
            "field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
            "message": sentence(item["msg"]),
        }
        for item in wrong
    ]
    is_header = all(item["loc"][0] == "header" for item in wrong)
    code = "malformed" if is_header else "rule-broken"
    return problem(
        request, 400 if is_header else 422, _listed(fields), code=code, errors=fields[:_LISTED]
    )


def install(app: FastAPI) -> None:
    """Registers the handlers; nothing leaves the application as a bare text or a stack trace."""

    @app.exception_handler(CampaignError)
    async def _refused(request: Request, error: CampaignError) -> Response:
        return of_error(request, error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return _of_validation(request, error.errors())

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        detail = _DETAILS.get(error.status_code, error.detail)
        return problem(
            request,
            error.status_code,
            detail,
            code=_CODES.get(error.status_code, ""),
            headers=error.headers,
        )

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        log.error(
            "a request failed", exc_info=error, extra={"correlationId": correlation_id(request)}
        )
        return problem(
            request,
            500,
            "The request failed because of a bug. It was logged under this correlation id.",
            code="internal",
        )
