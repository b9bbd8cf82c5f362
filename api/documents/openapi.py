"""The OpenAPI document: what the routes take and answer, with the problems, the API key and the
examples of the schemas added.

`python -m api.write_documents` writes docs/reference/openapi.json; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from api.documents.examples import JSON, Examples, examples
from api.http.preconditions.conditions import IF_MATCH, IF_NONE_MATCH, is_tagged
from api.http.problems import TITLES

FILE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
_REF = "#/components/schemas/"
_INTRODUCTION = """
Authenticate with `Authorization: Bearer ce_…`; the key names tenant, user and role \
(viewer < editor < sender < admin).
Answers are `{"success": true, "data": …}`; refusals are problem details (RFC 9457) with the \
field, the rule and the limit.
Where the installation names a token issuer, JWTs of it are taken, too. Every id of another tenant \
is 404.
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds) say what the caller has \
left of its requests per minute.
The examples work as they are while `campaigns up` runs its demo.
"""
_PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["success", "type", "title", "status", "detail", "errors", "correlationId"],
    "properties": {
        "success": {"const": False},
        "type": {
            "type": "string",
            "description": "urn:campaigns:problem:<code>; the codes do not change",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {
            "type": "string",
            "description": "a sentence for people: what is wrong, which rule, which limit",
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "correlationId": {
            "type": "string",
            "description": (
                "your X-Correlation-Id, else one made for this request; it is in our logs"
            ),
        },
    },
}
_ETAG = {"description": "the version, for `If-Match`", "schema": {"type": "string"}}
_API_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "`campaigns tenant create` prints one",
}


def operation_id(route: APIRoute) -> str:
    """`tag.name`, such as `campaigns.start`."""
    return f"{route.tags[0]}.{route.name}"


def documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The function for `app.openapi`: it makes the document once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=_INTRODUCTION,
                routes=app.routes,
            )
            app.openapi_schema = _completed(made, dict(examples(app)), _tagged(app))
        return app.openapi_schema

    return document


def text(app: FastAPI) -> str:
    """The document as it is stored; it does not depend on the settings."""
    return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


def _tagged(app: FastAPI) -> set[str]:
    """The ids of the operations whose answers have an ETag."""
    return {
        context.unique_id
        for context in iter_route_contexts(app.routes)
        if isinstance(route := context.original_route, APIRoute) and is_tagged(route)
    }


def _completed(
    document: dict[str, Any], found: Mapping[str, Examples], tagged: Iterable[str]
) -> dict[str, Any]:
    components = document["components"]
    schemas = components["schemas"]
    schemas["Problem"] = _PROBLEM
    components["securitySchemes"] = {"apiKey": _API_KEY}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for schema in schemas.values():
        schema.pop("examples", None)  # they lack their nulls, see examples.py
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            if path.startswith("/api/"):
                operation["security"] = [{"apiKey": []}]
                _add_refusals(method, path, operation)
            if operation["operationId"] in tagged:
                _add_tag(method, operation)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
            _add_examples(operation, found[operation["operationId"]])
    return document


def _add_refusals(method: str, path: str, operation: dict[str, Any]) -> None:
    declared = [int(status) for status in operation["responses"] if status.startswith("4")]
    operation["responses"] |= {
        str(status): _refusal(status) for status in (*_refusals(method, path, operation), *declared)
    }


def _add_tag(method: str, operation: dict[str, Any]) -> None:
    for status in {"200", "201"} & operation["responses"].keys():
        operation["responses"][status]["headers"] = {"ETag": _ETAG}
    if method == "get" and IF_NONE_MATCH in _headers(operation):
        operation["responses"]["304"] = {
            "description": "The caller has the current version",
            "headers": {"ETag": _ETAG},
        }


def _headers(operation: Mapping[str, Any]) -> set[str]:
    """The names of those that the operation takes."""
    parameters = operation.get("parameters", ())
    return {one["name"] for one in parameters if one["in"] == "header"}


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A header or query parameter is there or not; it cannot be null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**kinds[0], **rest} if len(kinds) == 1 else schema


def _add_examples(operation: dict[str, Any], found: Examples) -> None:
    """Of an optional body only the example that the route gives: it does without one."""
    body = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if body is not None and found.body is not None:
        body["example"] = found.body
    for status, example in found.answers.items():
        answer = operation["responses"].get(status, {}).get("content", {}).get(JSON)
        if answer is not None and example is not None:
            answer["example"] = example


def _refusals(method: str, path: str, operation: Mapping[str, Any]) -> Iterable[int]:
    headers = _headers(operation)
    if headers or "requestBody" in operation:
        yield 400
    yield from (401, 403)
    if "{" in path:
        yield 404
    if method != "get":
        yield 409
    if IF_MATCH in headers:
        yield 412
    if "requestBody" in operation:
        yield from (413, 415)
    yield from (414, 422, 429, 503)


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": f"{_REF}Problem"}
    refusal: dict[str, Any] = {
        "description": TITLES[status],
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in (429, 503):
        refusal["headers"] = {
            "Retry-After": {"description": "seconds", "schema": {"type": "integer"}}
        }
    return refusal
