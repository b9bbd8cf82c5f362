"""Whatever is sent to whatever route, the answer is a problem document, never a 500, and nobody
else waits for it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from streams.settings import Settings
from tests.api.campaigns.test_routes import problem
from tests.api.http.hostile import BROKEN, IDS, MEBIBYTE, QUERIES, changed, huge, variants
from tests.api.http.routes import Operation, guarded
from tests.api.http.test_authorization import MAKING, things
from tests.api.world import Rest, resting
from tests.pace import pace

_LONGEST = 1.5  # seconds of this thread that a request may take at a stretch, at the usual pace
_PARSED = ("POST", "PATCH", "PUT")


@pytest.fixture
async def rest(database: str) -> AsyncIterator[Rest]:
    """Without a limit of requests; Kafka is away."""
    keys = (SecretStr("00" * 32),)
    nowhere = Settings(
        kafka="127.0.0.1:1",
        nats="nats://127.0.0.1:1",
        postgres=database,
        message_keys=keys,
        api_rate_limit=0,
    )
    async with resting(nowhere) as rest:
        yield rest


def with_json(rest: Rest) -> list[Operation]:
    return [
        operation
        for operation in guarded(rest.app)
        if operation.method in _PARSED and operation.content_type == "application/json"
    ]


def example_of(operation: Operation) -> Any:
    return operation.described["requestBody"]["content"]["application/json"].get("example", {})


def checked(answer: httpx.Response, what: object) -> int:
    """Raises unless it is a success or a problem of the caller's making (503: what needs Kafka)."""
    assert answer.status_code < 500 or answer.status_code == 503, (what, answer.text[:500])
    if answer.status_code >= 400:
        found = problem(answer, answer.status_code)
        assert len(answer.content) < 30_000 and "Traceback" not in str(found), what
    return answer.status_code


async def send(
    rest: Rest,
    operation: Operation,
    parameters: dict[str, str],
    content: bytes,
    kind: str = "application/json",
) -> httpx.Response:
    url = "http://api" + operation.path.format(**parameters)
    return await rest.admin.request(
        operation.method, url, content=content, headers={"Content-Type": kind}
    )


async def test_what_is_no_json_answers_400_on_every_route_that_takes_json(rest: Rest) -> None:
    parameters = await things(rest.admin)
    assert len(with_json(rest)) >= 6
    for operation in with_json(rest):
        for what, body in BROKEN.items():
            answer = await send(rest, operation, parameters, body)
            assert problem(answer, 400)["type"] == "urn:campaigns:problem:malformed", (
                str(operation),
                what,
            )


async def test_another_content_type_answers_415_and_a_huge_body_413_on_every_route_that_takes_json(
    rest: Rest,
) -> None:
    parameters = await things(rest.admin)
    for operation in with_json(rest):
        body = json.dumps(example_of(operation)).encode()
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/xml",
            "x" * 500,
        ):
            assert problem(await send(rest, operation, parameters, body, kind), 415), (
                str(operation),
                kind,
            )
        problem(await send(rest, operation, parameters, b" " * (MEBIBYTE + 1)), 413)


async def test_an_unknown_field_is_refused_by_name_on_every_route_that_takes_an_object(
    rest: Rest,
) -> None:
    parameters = await things(rest.admin)
    for operation in with_json(rest):
        if isinstance(example_of(operation), dict):
            answer = await operation.call(
                rest.admin, parameters, {**example_of(operation), "colour": "red"}
            )
            errors = problem(answer, 422)["errors"]
            assert isinstance(errors, list) and "colour" in [error["field"] for error in errors], (
                operation
            )


async def test_no_value_of_any_field_makes_a_route_fail(rest: Rest) -> None:
    parameters = await things(rest.admin)
    for operation in with_json(rest):
        for path, value in variants(example_of(operation)):
            answer = await operation.call(
                rest.admin, parameters, changed(example_of(operation), path, value)
            )
            checked(answer, (str(operation), path, str(value)[:50]))
        shapes: list[object] = [[], "x", 1, None, True, [[]], {}, [{}], [None] * 1000]
        for body in shapes:
            answer = await send(rest, operation, parameters, json.dumps(body).encode())
            checked(answer, (str(operation), body))


async def test_no_id_and_no_query_makes_a_route_fail(rest: Rest) -> None:
    parameters = await things(rest.admin)
    for operation in guarded(rest.app):
        for name in operation.parameters:
            # what makes a thing under any name has its own tests of names
            for bad in IDS if str(operation) not in MAKING else ():
                answer = await operation.call(rest.admin, {**parameters, name: bad})
                allowed = {404, 405, 422} | ({200} if str(operation) in MAKING else set())
                assert checked(answer, (str(operation), bad)) in allowed, (str(operation), bad)
        if operation.method != "GET" or operation.is_endless:
            continue
        url = "http://api" + operation.path.format(**parameters)
        named = [
            one["name"] for one in operation.described.get("parameters", ()) if one["in"] == "query"
        ]
        for query in (
            *(f"{name}={value}" for name in named for value in QUERIES),
            "page=1&page=2",
            "&".join(f"x{n}=1" for n in range(900)),
        ):
            checked(await rest.admin.get(f"{url}?{query}"), (str(operation), query[:80]))
        problem(await rest.admin.get(f"{url}?{'x' * 9_000}"), 414)


async def test_no_header_makes_a_route_fail(rest: Rest) -> None:
    parameters = await things(rest.admin)
    values = (
        b"",
        b" ",
        b"\xff",
        b"x" * 129,
        b"x" * 7_000,
        b'"',
        b'W/"',
        b'"99999999999"',
        b"*",
        b"\x01",
        "\u0661".encode(),
        b"1, 2",
    )
    for operation in guarded(rest.app):
        if operation.is_endless:
            continue
        url = "http://api" + operation.path.format(**{**parameters, **_gone(operation)})
        body = (
            json.dumps(example_of(operation)).encode()
            if operation.content_type == "application/json"
            else b""
        )
        for name in ("X-Correlation-Id", *operation.headers):
            for value in values:
                headers = {
                    b"Authorization": f"Bearer {rest.keys['admin']}".encode(),
                    b"Content-Type": b"application/json",
                    name.encode(): value,
                }
                checked(
                    await rest.nobody.request(operation.method, url, content=body, headers=headers),
                    (str(operation), name, value),
                )


def _gone(operation: Operation) -> dict[str, str]:
    """Nothing is deleted that later requests need."""
    return (
        {name: str(uuid4()) for name in operation.parameters if name.endswith("Id")}
        if operation.method == "DELETE"
        else {}
    )


async def test_a_megabyte_of_anything_holds_nobody_up(rest: Rest) -> None:
    parameters, slow = await things(rest.admin), list[tuple[str, int, float]]()
    limit = _LONGEST * pace()
    for operation in with_json(rest):
        example = example_of(operation)
        for number, body in enumerate(huge(example if isinstance(example, dict) else {})):
            assert len(body) < MEBIBYTE
            async with _Watch() as watch:
                checked(await send(rest, operation, parameters, body), (str(operation), number))
            if watch.longest > limit:
                slow.append((str(operation), number, round(watch.longest, 2)))
    assert not slow


class _Watch:
    """The longest time that the event loop's thread has worked between two turns; waiting for a
    busy machine does not count.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    async def __aenter__(self) -> _Watch:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.sleep(0)
        self._task.cancel()

    async def _tick(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.005)
            now = time.thread_time()
            self.longest, last = max(self.longest, now - last), now


async def test_garbage_for_what_needs_no_key_answers_a_problem_or_nothing(rest: Rest) -> None:
    page = {"X-Requested-With": "dashboard"}
    for what, body in BROKEN.items():
        for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain", ""):
            headers = {**page, "Content-Type": kind}
            assert checked(
                await rest.nobody.post("http://api/session", content=body, headers=headers), what
            ) in (400, 415)
            for provider in (
                "ses",
                "sendgrid",
                "mailgun",
                "twilio",
                "whatsapp",
                "standard",
                "nobody",
                "%00",
            ):
                answer = await rest.nobody.post(
                    f"http://api/webhooks/{provider}/acme", content=body, headers=headers
                )
                assert checked(answer, (provider, what)) in (400, 401, 404, 503), (provider, what)
    for bad in IDS:
        for path in (
            f"/t/o/{bad}.gif",
            f"/t/c/{bad}/0",
            f"/t/c/{uuid4()}/{bad}",
            f"/t/d/{bad}/{uuid4()}",
            f"/t/d/{uuid4()}/{bad}?u={bad}",
            f"/u/{bad}",
            f"/webhooks/ses/{bad}",
            f"/dashboard/{bad}",
            f"/{bad}",
        ):
            for method in ("GET", "POST"):
                answer = await rest.nobody.request(method, f"http://api{path}")
                assert answer.status_code < 500 or answer.status_code == 503, (
                    method,
                    path,
                    answer.text[:300],
                )
