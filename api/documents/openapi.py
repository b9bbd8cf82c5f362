"""The OpenAPI document: what the routes say of themselves, with the problems, the API key and
examples added.

`python -m api.documents.openapi` writes docs/openapi.json; a test compares the two.
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

from api.documents import (
    ab_test_examples,
    answer_schemas,
    directory_examples,
    examples,
    preview_examples,
    schedule_examples,
    webhook_examples,
)
from api.documents.shapes import SHAPES
from api.http.problems import TITLES
from streams.settings import Settings

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
_INTRODUCTION = """
Authenticate with `Authorization: Bearer ce_…`; the key names tenant, user and role (viewer < editor < sender < admin).
Answers are `{"success": true, "data": …}`; refusals are problem details (RFC 9457) with the field, the rule and the limit.
Where the installation names a token issuer, JWTs of it are taken, too. Every id of another tenant is 404.
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds) say what the caller has left of its requests per minute.
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
            "description": "your X-Correlation-Id, else one made for this request; it is in our logs",
        },
    },
}
_PAGED = {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1}

# Operation -> (example of the body, example of the answer)
EXAMPLES: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = {
    "campaigns.create": (examples.CREATE, {"success": True, "data": dict(examples.DRAFT)}),
    "campaigns.page": (None, {"success": True, "data": [dict(examples.SHOWN)], "meta": _PAGED}),
    "campaigns.one": (None, {"success": True, "data": dict(examples.SHOWN)}),
    "campaigns.update": (
        examples.UPDATE,
        {"success": True, "data": {**examples.DRAFT, **examples.UPDATE, "version": 2}},
    ),
    "campaigns.delete": (None, None),
    "campaigns.start": (None, {"success": True, "data": dict(examples.RUNNING)}),
    "campaigns.pause": (examples.REASON, {"success": True, "data": dict(examples.PAUSED)}),
    "campaigns.resume": (None, {"success": True, "data": {**examples.RUNNING, "version": 4}}),
    "campaigns.cancel": (examples.REASON, {"success": True, "data": dict(examples.CANCELLED)}),
    "campaigns.trigger": (examples.TRIGGER, {"success": True, "data": dict(examples.TRIGGERED)}),
    "campaigns.stats": (
        None,
        {"success": True, "data": {**examples.STATS, "variants": list(ab_test_examples.VARIANTS)}},
    ),
    "campaigns.recipients": (
        None,
        {
            "success": True,
            "data": [dict(examples.RECIPIENT)],
            "meta": {**_PAGED, "nextCursor": None},
        },
    ),
    **ab_test_examples.OPERATIONS,
    **schedule_examples.OPERATIONS,
    **directory_examples.OPERATIONS,
    **preview_examples.OPERATIONS,
    **webhook_examples.OPERATIONS,
}


_TRUTH: Mapping[str, Any] = {"type": "boolean"}
_READY: Mapping[str, Any] = {
    "type": "object",
    "required": ["ready", "parts"],
    "properties": {
        "ready": _TRUTH,
        "parts": {"type": "object", "additionalProperties": _TRUTH},
        "jobs": {"type": ["object", "null"], "additionalProperties": {"type": ["object", "null"]}},
    },
}
_PARTS = {"postgres": True, "stats": True, "sending": True, "reports": True}
# Health answers are for probes and have no envelope: operation -> status -> (schema, example)
_HEALTH: Mapping[str, Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "health.alive": {
        "200": (
            {"type": "object", "required": ["alive"], "properties": {"alive": _TRUTH}},
            {"alive": True},
        )
    },
    "health.ready": {
        "200": (_READY, {"ready": True, "parts": _PARTS}),
        "503": (_READY, {"ready": False, "parts": {**_PARTS, "stats": False}}),
    },
}


def operation_id(route: APIRoute) -> str:
    """`tag.name`, such as `campaigns.start`."""
    return f"{route.tags[0]}.{route.name}"


def documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is to be: the document, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=_INTRODUCTION,
                routes=app.routes,
            )
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    return document


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document["components"]
    components["schemas"] |= {"Problem": _PROBLEM, **answer_schemas.components()}
    components["securitySchemes"] = {
        "apiKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "`campaigns tenant create` prints one",
        }
    }
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            if path.startswith("/api/"):
                operation["security"] = [{"apiKey": []}]
                declared = [
                    int(status) for status in operation["responses"] if status.startswith("4")
                ]
                operation["responses"] |= {
                    str(status): _refusal(status)
                    for status in (*_refusals(method, path, operation), *declared)
                }
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
            _add_shape(operation)
            for status, (schema, shown) in _HEALTH.get(operation["operationId"], {}).items():
                content = {"application/json": {"schema": dict(schema), "example": dict(shown)}}
                operation["responses"][status] = {
                    "description": "Ready" if status == "200" else "Not ready",
                    "content": content,
                }
            _add_examples(operation)
    return document


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A header or query parameter is there or not; it cannot be null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**kinds[0], **rest} if len(kinds) == 1 else schema


def _add_shape(operation: dict[str, Any]) -> None:
    if operation["operationId"] in SHAPES:
        for status in filter(_is_success, operation["responses"]):
            operation["responses"][status]["content"] = {
                "application/json": {"schema": answer_schemas.answer(operation["operationId"])}
            }


def _is_success(status: str) -> bool:
    return status.startswith("2")


def _add_examples(operation: dict[str, Any]) -> None:
    body, answer = EXAMPLES.get(operation["operationId"], (None, None))
    if body is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = _copy(body)
    if answer is not None:
        for status in filter(_is_success, operation["responses"]):
            operation["responses"][status]["content"]["application/json"]["example"] = _copy(answer)


def _copy(example: Any) -> Any:
    return json.loads(json.dumps(example, default=dict))  # read-only mappings become objects


def _refusals(method: str, path: str, operation: Mapping[str, Any]) -> Iterable[int]:
    headers = {
        parameter["name"]
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "header"
    }
    if headers or "requestBody" in operation:
        yield 400
    yield from (401, 403)
    if "{" in path:
        yield 404
    if method != "get":
        yield 409
    if "If-Match" in headers:
        yield 412
    if "requestBody" in operation:
        yield from (413, 415)
    yield from (414, 422, 429, 503)


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    refusal: dict[str, Any] = {
        "description": TITLES[status],
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in (429, 503):
        refusal["headers"] = {
            "Retry-After": {"description": "seconds", "schema": {"type": "integer"}}
        }
    return refusal


def document() -> dict[str, Any]:
    """The document; it does not depend on the settings."""
    from api.app import create_app  # which imports this module

    nowhere = Settings(kafka="", postgres="", nats="", message_keys=(SecretStr("00" * 32),))
    return create_app(nowhere).openapi()


def text() -> str:
    """The document as it is stored."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
