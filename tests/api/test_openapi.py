"""The OpenAPI document: stored as generated, true in its examples, complete in its refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import examples, openapi
from tests.api.world import Rest


def test_the_stored_document_is_the_generated_one() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "run `python -m api.openapi`"


async def test_the_examples_work_when_pasted_and_answers_have_their_shape(rest: Rest) -> None:
    async with rest.world.pool.acquire() as connection:
        await examples.install(connection, "acme")
        await examples.install(connection, "globex")
    document = (await rest.nobody.get("http://api/openapi.json")).json()
    paths = {op["operationId"]: (path, method, op) for path, methods in document["paths"].items() for method, op in methods.items()}
    assert set(openapi.EXAMPLES) <= set(paths)
    created = ""
    for name in ("create", "page", "one", "update", "start", "pause", "resume", "cancel", "delete"):
        path, method, operation = paths[f"campaigns.{name}"]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        answer = await rest.admin.request(method, f"http://api{path.replace('{campaignId}', created)}", json=body)
        status = next(status for status in operation["responses"] if status.startswith("2"))
        assert str(answer.status_code) == status, answer.text
        if status == "204":
            continue
        assert _shape(answer.json()) == _shape(operation["responses"][status]["content"]["application/json"]["example"]), name
        created = created or answer.json()["data"]["id"]


def _shape(answer: Mapping[str, Any]) -> object:
    data = answer["data"][0] if isinstance(answer["data"], list) else answer["data"]
    return sorted(answer), sorted(data), sorted(answer.get("meta", {}))


async def test_every_route_says_how_it_refuses_and_asks_for_a_key(rest: Rest) -> None:
    for path, methods in rest.app.openapi()["paths"].items():
        for operation in methods.values():
            if path.startswith("/api/"):
                assert operation["security"] and {"401", "403", "422", "503"} <= operation["responses"].keys()
                refusals = [answer for status, answer in operation["responses"].items() if status >= "4"]
                assert all("application/problem+json" in answer["content"] for answer in refusals)
            assert operation.get("description") or operation.get("summary")
