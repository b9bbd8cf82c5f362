"""The examples of the routes' bodies and answers, taken from their schemas.

FastAPI leaves nulls out of the examples in the document that it generates, so they are read from
the routes themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from api.http.envelope import Envelope, shown_by

JSON = "application/json"


@dataclass(frozen=True)
class Examples:
    """The examples of an operation: of its body, None without one, and of its answers by status."""

    body: Any
    answers: dict[str, Any]


def examples(app: FastAPI) -> Iterator[tuple[str, Examples]]:
    """The examples of each operation, by its id."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            yield context.unique_id, Examples(_body(route), dict(_answers(route)))


def _body(route: APIRoute) -> Any:
    extra = route.openapi_extra or {}
    shown = _written(extra.get("requestBody", {}))
    if shown is None and route.body_field is not None:
        return _of(route.body_field.field_info.annotation)
    return shown


def _answers(route: APIRoute) -> Iterator[tuple[str, Any]]:
    models = {route.status_code or 200: route.response_model}
    models |= {int(status): given.get("model") for status, given in route.responses.items()}
    for status, model in models.items():
        written = _written(route.responses.get(status, {}))
        yield str(status), _of(model) if written is None else written


def _written(part: dict[str, Any]) -> Any:
    """The example that the route itself gives."""
    return part.get("content", {}).get(JSON, {}).get("example")


def _of(kind: Any) -> Any:
    """The example of a schema; that of an envelope is made of those of its members."""
    if get_origin(kind) is list:
        one = _of(get_args(kind)[0])
        return None if one is None else [one]
    if get_origin(kind) in (Union, UnionType):
        return next((found for one in get_args(kind) if (found := _of(one)) is not None), None)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return None
    if issubclass(kind, Envelope):
        members = {
            name: _of(field.annotation)
            for name, field in kind.model_fields.items()
            if name != "success"
        }
        return None if None in members.values() else {"success": True, **members}
    return shown_by(kind)
