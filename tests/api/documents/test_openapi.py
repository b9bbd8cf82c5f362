"""The OpenAPI document: stored as generated, complete, true in its examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

from api.documents import openapi
from api.write_documents import openapi_text
from tables.directory.examples import install_examples
from tests.api.world import Rest

_TEXT = openapi_text()
_DOCUMENT = json.loads(_TEXT)
_OPERATIONS = {
    op["operationId"]: (path, method, op)
    for path, methods in _DOCUMENT["paths"].items()
    for method, op in methods.items()
}


def _check(schema: Mapping[str, Any], value: object) -> None:
    """Raises jsonschema_rs.ValidationError."""
    jsonschema_rs.validator_for(
        {**schema, "components": _DOCUMENT["components"]}, validate_formats=True
    ).validate(value)


def _contents(operation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(media type, its schema and example) of the body and of every success but event streams."""
    yield from operation.get("requestBody", {}).get("content", {}).items()
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield from (
                (kind, content)
                for kind, content in answer.get("content", {}).items()
                if kind != "text/event-stream"
            )


def _says_something(schema: Mapping[str, Any]) -> bool:
    """Whether it is one of our schemas, not any JSON at all."""
    return "$ref" in schema or all("$ref" in one for one in schema.get("anyOf", [{}]))


def test_the_stored_document_is_the_generated_one() -> None:
    assert openapi.FILE.read_text() == _TEXT, "run `python -m api.write_documents`"


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
def test_every_operation_has_a_description_and_examples_that_its_schemas_allow(name: str) -> None:
    _, _, operation = _OPERATIONS[name]
    assert operation.get("description") or operation.get("summary")
    for kind, content in _contents(operation):
        # a verb whose body is only a reason does without one
        assert "example" in content or not operation.get("requestBody", {"required": True}).get(
            "required"
        ), (name, kind)
        if kind == "application/json" and "example" in content:
            _check(content["schema"], content["example"])


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
def test_every_operation_says_what_it_answers_and_how_it_refuses(name: str) -> None:
    path, method, operation = _OPERATIONS[name]
    answers = operation["responses"]
    for status, answer in answers.items():
        if status.startswith("2") and "application/json" in answer.get("content", {}):
            assert _says_something(answer["content"]["application/json"]["schema"]), name
    if not path.startswith("/api/"):
        return
    assert operation["security"] and {"401", "403", "414", "422", "429", "503"} <= answers.keys()
    assert "404" in answers or "{" not in path
    assert {"400", "413", "415"} <= answers.keys() or "requestBody" not in operation
    assert "409" in answers or method == "get"
    assert all(
        "application/problem+json" in answer["content"]
        for status, answer in answers.items()
        if status >= "4"
    )


def test_every_schema_is_used_and_every_reference_leads_somewhere() -> None:
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', _TEXT))
    assert named == set(_DOCUMENT["components"]["schemas"])


async def test_the_examples_work_when_pasted_and_answers_have_their_shape(rest: Rest) -> None:
    async with rest.world.pool.transaction() as connection:
        await install_examples(connection, "acme")
        await install_examples(connection, "globex")
    created = ""
    for name in ("create", "page", "one", "update", "start", "pause", "resume", "cancel", "delete"):
        path, method, operation = _OPERATIONS[f"campaigns.{name}"]
        body = (
            operation.get("requestBody", {})
            .get("content", {})
            .get("application/json", {})
            .get("example")
        )
        answer = await rest.admin.request(
            method, f"http://api{path.replace('{campaignId}', created)}", json=body
        )
        status = next(status for status in operation["responses"] if status.startswith("2"))
        assert str(answer.status_code) == status, answer.text
        if status == "204":
            continue
        shown = operation["responses"][status]["content"]["application/json"]
        _check(shown["schema"], answer.json())
        assert _shape(answer.json()) == _shape(shown["example"]), name
        created = created or answer.json()["data"]["id"]


def _shape(answer: Mapping[str, Any]) -> object:
    data = answer["data"][0] if isinstance(answer["data"], list) else answer["data"]
    return sorted(answer), sorted(data), sorted(answer.get("meta", {}))
