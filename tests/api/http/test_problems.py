"""Whatever is sent, the answer is a problem document and never a 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.http.limits import MAX_BODY
from connectors.local.engines.engine import free_port
from streams.settings import Settings
from tests.api.campaigns.test_routes import problem
from tests.api.world import JSON, Rest

_NOBODY = "00000000-0000-8000-8000-000000000000"  # no campaign has this id


async def test_a_body_that_is_not_json_answers_400(rest: Rest) -> None:
    name = json.dumps(rest.world.draft(name="NAME"))
    bad = {
        "cut": b'{"name": ',
        "not UTF-8": name.replace("NAME", "caf").encode() + b"\xff",
        "UTF-8 cut in a string": b'{"name": "\xc3"}',
        "NaN": b'{"name": NaN}',
        "a lone surrogate": name.replace("NAME", "\\ud800").encode(),
        "a lone surrogate as a key": b'{"settings": {"\\udfff": 1}}',
        "a NUL byte": b'{"name": "\0"}',
        "a number beyond everything": b'{"throttleConfig": {"messagesPerHour": 1e999}}',
        "a number without end": b'{"throttleConfig": {"messagesPerHour": ' + b"9" * 5000 + b"}}",
        "10,000 levels": b'{"settings":' * 10_000 + b"1" + b"}" * 10_000,
        "10,000 lists": b"[" * 10_000 + b"]" * 10_000,
        "single quotes": b"{'name': 'x'}",
        "a byte order mark": b"\xef\xbb\xbf{}",
    }
    for what, body in bad.items():
        found = problem(await rest.admin.post("/campaigns", content=body, headers=JSON), 400)
        assert found["type"] == "urn:campaigns:problem:malformed", what
        assert str(found["detail"]).startswith("The body is not JSON: "), what


async def test_json_of_another_shape_answers_422(rest: Rest) -> None:
    for body in (
        b"[]",
        b'"x"',
        b"1",
        b"null",
        b"{}",
        b'{"name": {"a": 1}, "channel": ["email"]}',
        b'{"name":"x","channel":"email","settings":[]}',
    ):
        problem(await rest.admin.post("/campaigns", content=body, headers=JSON), 422)
    problem(await rest.admin.post("/campaigns"), 422)


async def test_another_content_type_answers_415(rest: Rest) -> None:
    body = json.dumps(rest.world.draft()).encode()
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        "",
    ):
        found = problem(
            await rest.admin.post("/campaigns", content=body, headers={"Content-Type": kind}), 415
        )
        assert "application/json" in str(found["detail"])
    for kind in (
        "application/json; charset=utf-8",
        "application/merge-patch+json",
        "APPLICATION/JSON",
    ):
        assert (
            await rest.admin.post("/campaigns", content=body, headers={"Content-Type": kind})
        ).status_code == 201


async def test_an_empty_body_is_no_body_whatever_its_type(rest: Rest) -> None:
    campaign = await rest.draft()
    answer = await rest.admin.post(
        f"/campaigns/{campaign['id']}/start", content=b"", headers={"Content-Type": "text/plain"}
    )
    assert answer.status_code == 200


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65_536 + 1):
        yield b" " * 65_536


async def test_a_body_over_the_limit_answers_413_declared_or_not(rest: Rest) -> None:
    for content in (b" " * (MAX_BODY + 1), _chunks(MAX_BODY)):
        found = problem(await rest.admin.post("/campaigns", content=content, headers=JSON), 413)
        assert (found["type"], f"{MAX_BODY:,}" in str(found["detail"])) == (
            "urn:campaigns:problem:too-large",
            True,
        )


async def test_an_id_that_is_no_uuid_answers_422(rest: Rest) -> None:
    for bad in ("1", "not-a-uuid", "%00", "%ff", str(uuid4())[:-1], "..%2f..%2fetc"):
        for method, path in (
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/start"),
            ("GET", "/stats"),
            ("GET", "/recipients"),
        ):
            body = {"name": "x"} if method == "PATCH" else None
            answer = await rest.admin.request(method, f"/campaigns/{bad}{path}", json=body)
            assert answer.status_code in (404, 422), (method, bad)
            problem(answer, answer.status_code)


async def test_an_unknown_address_and_a_wrong_method_are_problems_too(rest: Rest) -> None:
    for path in (
        "/nothing",
        "/campaigns/x/y/z",
        "http://api/nothing",
        "http://api/dashboard/nothing.js",
        "http://api/dashboard/..%2fapp.py",
    ):
        problem(await rest.admin.get(path), 404)
    answer = await rest.admin.put("/campaigns", json={})
    problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) & {"GET", "POST"}


async def test_the_callers_correlation_id_comes_back(rest: Rest) -> None:
    given = problem(
        await rest.admin.get(f"/campaigns/{uuid4()}", headers={"X-Correlation-Id": "order-7"}), 404
    )
    assert given["correlationId"] == "order-7"
    made = problem(
        await rest.admin.get(f"/campaigns/{uuid4()}", headers={"X-Correlation-Id": "x" * 129}), 404
    )
    assert len(str(made["correlationId"])) == 36


async def test_counts_that_were_not_read_yet_are_not_claimed_to_be_zero(rest: Rest) -> None:
    campaign = await rest.running()
    answer = await rest.admin.get(f"/campaigns/{campaign['id']}/stats")
    assert problem(answer, 503)["type"] == "urn:campaigns:problem:dependency-down"
    assert answer.headers["retry-after"]
    ready = await rest.nobody.get("http://api/readyz")
    assert (ready.status_code, ready.json()["parts"]) == (
        503,
        {"postgres": True, "stats": False, "sending": False, "reports": False},
    )


@pytest.mark.parametrize(
    "path",
    [
        "/campaigns",
        f"/campaigns/{_NOBODY}",
        f"/campaigns/{_NOBODY}/stats",
        f"/campaigns/{_NOBODY}/events",
    ],
)
async def test_without_postgresql_every_answer_is_503_and_the_process_stays_alive(
    path: str,
) -> None:
    nowhere = f"postgresql://postgres@127.0.0.1:{free_port()}/campaigns"
    settings = Settings(
        kafka="127.0.0.1:1",
        nats="nats://127.0.0.1:1",
        postgres=nowhere,
        message_keys=(SecretStr("00" * 32),),
    )
    app = create_app(settings)
    key = f"ce_live_{'0' * 16}_{'0' * 64}"
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api/api/v1"
        ) as client,
    ):
        answer = await client.get(path, headers={"Authorization": f"Bearer {key}"})
        assert problem(answer, 503)["title"] == "A dependency is down"
        assert answer.headers["retry-after"] and "127.0.0.1" not in answer.text
        assert (await client.get("http://api/livez")).status_code == 200
        assert (await client.get("http://api/readyz")).json()["parts"]["postgres"] is False
