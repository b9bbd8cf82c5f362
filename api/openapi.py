"""The OpenAPI document: what the routes say of themselves, with the problems, the API key and examples added.

`python -m api.openapi` writes docs/openapi.json; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import SecretStr

from api import examples
from api.problems import TITLES
from streams.settings import Settings

FILE = Path(__file__).parent.parent / "docs" / "openapi.json"
_INTRODUCTION = """
Authenticate with `Authorization: Bearer ce_…`; the key names tenant, user and role (viewer < editor < sender < admin).
Answers are `{"success": true, "data": …}`; refusals are problem details (RFC 9457) with the field, the rule and the limit.
Every id of another tenant is 404. The examples work as they are while `campaigns up` runs its demo.
"""
_PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["success", "type", "title", "status", "detail", "errors", "correlationId"],
    "properties": {
        "success": {"const": False},
        "type": {"type": "string", "description": "urn:campaigns:problem:<code>; the codes do not change"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "a sentence for people: what is wrong, which rule, which limit"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "correlationId": {"type": "string", "description": "your X-Correlation-Id, else one made for this request; it is in our logs"},
    },
}
_PAGED = {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1}

# Operation -> (example of the body, example of the answer)
EXAMPLES: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = {
    "campaigns.create": (examples.CREATE, {"success": True, "data": dict(examples.DRAFT)}),
    "campaigns.page": (None, {"success": True, "data": [dict(examples.SHOWN)], "meta": _PAGED}),
    "campaigns.one": (None, {"success": True, "data": dict(examples.SHOWN)}),
    "campaigns.update": (examples.UPDATE, {"success": True, "data": {**examples.DRAFT, **examples.UPDATE, "version": 2}}),
    "campaigns.delete": (None, None),
    "campaigns.start": (None, {"success": True, "data": dict(examples.RUNNING)}),
    "campaigns.pause": (examples.REASON, {"success": True, "data": dict(examples.PAUSED)}),
    "campaigns.resume": (None, {"success": True, "data": {**examples.RUNNING, "version": 4}}),
    "campaigns.cancel": (examples.REASON, {"success": True, "data": dict(examples.CANCELLED)}),
    "campaigns.stats": (None, {"success": True, "data": dict(examples.STATS)}),
    "campaigns.recipients": (None, {"success": True, "data": [dict(examples.RECIPIENT)], "meta": {**_PAGED, "nextCursor": None}}),
}


def operation_id(route: APIRoute) -> str:
    """`tag.name`, such as `campaigns.start`."""
    return f"{route.tags[0]}.{route.name}"


def documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is to be: the document, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, summary=app.summary, description=_INTRODUCTION, routes=app.routes)
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    return document


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document["components"]
    components["schemas"]["Problem"] = _PROBLEM
    components["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer", "description": "`campaigns tenant create` prints one"}}
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            if path.startswith("/api/"):
                operation["security"] = [{"apiKey": []}]
                operation["responses"] |= {str(status): _refusal(status) for status in _refusals(method, path)}
            _add_examples(operation)
    return document


def _add_examples(operation: dict[str, Any]) -> None:
    body, answer = EXAMPLES.get(operation["operationId"], (None, None))
    if body is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = dict(body)
    if answer is not None:
        status = next(status for status in operation["responses"] if status.startswith("2"))
        operation["responses"][status]["content"]["application/json"]["example"] = answer


def _refusals(method: str, path: str) -> Iterable[int]:
    yield from (401, 403)
    if "{campaignId}" in path:
        yield 404
    if method != "get":
        yield from (400, 409)
    if method != "get" and "{campaignId}" in path:
        yield 412
    if method in ("post", "patch"):
        yield from (413, 415)
    yield from (422, 503)


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": TITLES[status], "content": {"application/problem+json": {"schema": schema}}}


def text() -> str:
    """The document as it is stored; it does not depend on the settings."""
    from api.app import create_app  # which imports this module

    nowhere = Settings(kafka="", postgres="", nats="", message_keys=(SecretStr("00" * 32),))
    return json.dumps(create_app(nowhere).openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
