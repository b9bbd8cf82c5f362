"""The rooms of the API: `limits` and `http` below all others, imports one way, routes that say
their types.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, SecretStr
from starlette.responses import Response, StreamingResponse

from api.app import create_app
from api.http import dependencies
from streams.settings import Settings

_API = Path(__file__).parents[2] / "api"
# room -> rooms that it may import, besides itself
_MAY_IMPORT: Mapping[str, set[str]] = {
    "limits": set(),
    "http": {"limits"},
    "directory": {"http", "limits"},
    "campaigns": {"http", "limits"},
    "previews": {"http", "limits", "directory", "campaigns"},
    "tenant": {"http", "limits"},
    "recipients": {"http", "limits"},
    "documents": {"http", "campaigns"},
    "demo": set(),
    "command_line": {"demo", "tenant"},
}


def _routes() -> Iterator[APIRoute]:
    nowhere = Settings(kafka="", postgres="", nats="", message_keys=(SecretStr("00" * 32),))
    for context in iter_route_contexts(create_app(nowhere).routes):
        if isinstance(context.original_route, APIRoute):
            yield context.original_route


def _rooms_imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "api":
            parts = (node.module or "").split(".")
            yield from (alias.name for alias in node.names) if parts == ["api"] else parts[1:2]


def test_rooms_import_one_way() -> None:
    rooms = {path.name for path in _API.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(_MAY_IMPORT)
    for room, allowed in _MAY_IMPORT.items():
        for module in (_API / room).rglob("*.py"):
            found = set(_rooms_imported(module)) - {room}
            assert found <= allowed, f"{module} imports {found - allowed}"


def test_every_route_answers_a_schema_or_a_response_of_its_own() -> None:
    for route in _routes():
        model = route.response_model
        kinds = getattr(model, "__args__", (model,))
        assert all(_is_schema(kind) for kind in kinds) or _is_response(route), route.path


def _is_schema(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _response_class(route: APIRoute) -> type[Response]:
    kind: Any = getattr(route.response_class, "value", route.response_class)
    assert issubclass(kind, Response)
    found: type[Response] = kind
    return found


def _is_response(route: APIRoute) -> bool:
    kind = _response_class(route)
    returned = route.endpoint.__annotations__.get("return", "")
    return (
        (route.status_code == 204 and kind is Response)
        or issubclass(kind, StreamingResponse)
        or returned in ("Response", "StreamingResponse", "AsyncIterable[ServerSentEvent]")
    )


def test_what_lasts_holds_no_transaction() -> None:
    """An event stream, a download and an upload would keep a connection as long as they last."""
    lasting = 0
    for route in _routes():
        kind = _response_class(route)
        is_upload = route.path.endswith("/import")
        if issubclass(kind, StreamingResponse) or is_upload or "events" in route.path:
            lasting += 1
            assert dependencies.transaction not in set(_calls(route.dependant)), route.path
    assert lasting >= 4


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
