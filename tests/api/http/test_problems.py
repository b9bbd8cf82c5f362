"""Whatever is sent, the answer is a problem document and never a 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI, Header
from pydantic import SecretStr

from api.app import create_app
from api.http.limits import MAX_BODY
from connectors.local.engines.engine import free_port
from streams.errors import (
    CampaignError,
    ConflictError,
    DependencyDownError,
    FieldError,
    ForbiddenError,
    IllegalTransitionError,
    MalformedError,
    NotFoundError,
    PreconditionFailedError,
    RateLimitedError,
    UnauthorizedError,
)
from streams.settings import Settings
from tests.api.campaigns.test_routes import problem
from tests.api.http.small_app import asked, with_problems
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
        {"postgres": True, "stats": False, "sending": False, "reports": False, "settings": True},
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


def _failing(error: Exception) -> FastAPI:
    app = with_problems()

    @app.get("/")
    async def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (NotFoundError("x"), 404, "not-found", {}),
        (ConflictError("x"), 409, "conflict", {}),
        (IllegalTransitionError("x"), 409, "illegal-transition", {}),
        (PreconditionFailedError("x"), 412, "precondition-failed", {}),
        (MalformedError("x"), 400, "malformed", {}),
        (UnauthorizedError("x"), 401, "unauthorized", {"www-authenticate": "Bearer"}),
        (ForbiddenError("x"), 403, "forbidden", {}),
        (RateLimitedError("x", retry_after=17), 429, "rate-limited", {"retry-after": "17"}),
        (DependencyDownError("x"), 503, "dependency-down", {"retry-after": "5"}),
        (CampaignError("x"), 422, "rule-broken", {}),
    ],
)
async def test_each_error_has_its_status_its_code_and_the_headers_that_belong_to_it(
    error: CampaignError, status: int, code: str, headers: dict[str, str]
) -> None:
    answer = await asked(_failing(error), "GET", "/")
    found = problem(answer, status)
    assert (found["type"], found["title"], found["detail"]) == (
        f"urn:campaigns:problem:{code}",
        error.title,
        "x",
    )
    names = ("www-authenticate", "retry-after")
    assert {name: answer.headers[name] for name in names if name in answer.headers} == headers


@pytest.mark.parametrize(
    ("wrong", "more"), [(50, ""), (51, "; and 1 more"), (1060, "; and 1,010 more")]
)
async def test_the_first_fifty_broken_rules_are_named_and_the_others_counted(
    wrong: int, more: str
) -> None:
    errors = tuple(FieldError(f"f{number}", "is wrong") for number in range(wrong))
    detail = "; ".join(f"{error.field}: {error.message}" for error in errors)
    answer = await asked(_failing(CampaignError(detail, errors=errors)), "GET", "/")
    found = problem(answer, 422)
    named = [{"field": f"f{number}", "message": "is wrong"} for number in range(50)]
    assert found["errors"] == named
    listed = "; ".join(f"f{number}: is wrong" for number in range(50))
    assert found["detail"] == listed + more


async def test_a_bug_is_logged_under_the_correlation_id_and_tells_the_caller_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = _failing(ZeroDivisionError("secret"))
    answer = await asked(app, "GET", "/", headers={"x-correlation-id": "order-7"})
    found = problem(answer, 500)
    assert (found["type"], found["correlationId"]) == ("urn:campaigns:problem:internal", "order-7")
    assert "secret" not in answer.text
    (line,) = (record for record in caplog.records if record.name == "api.http.problems")
    assert (line.message, getattr(line, "correlationId", "")) == ("a request failed", "order-7")
    assert line.exc_info is not None and isinstance(line.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("x", True), ("x" * 128, True), ("x" * 129, False), ("", False), ("a\tb", False)],
)
async def test_a_correlation_id_of_the_caller_is_kept_when_it_is_1_to_128_characters(
    given: str, is_kept: bool
) -> None:
    answer = await asked(with_problems(), "GET", "/", headers={"x-correlation-id": given})
    kept = problem(answer, 404)["correlationId"]
    assert (kept == given) == is_kept
    assert is_kept or len(str(kept)) == 36


async def test_a_wrong_header_is_malformed_and_a_wrong_parameter_breaks_a_rule() -> None:
    app = with_problems()

    @app.get("/{page}")
    async def show(
        page: int, size: int, if_match: Annotated[int | None, Header()] = None
    ) -> dict[str, int]:
        return {"page": page, "size": size}

    malformed = problem(await asked(app, "GET", "/1?size=2", headers={"if-match": "x"}), 400)
    assert malformed["type"] == "urn:campaigns:problem:malformed"
    assert [error["field"] for error in _errors(malformed)] == ["if-match"]
    both = problem(await asked(app, "GET", "/x", headers={"if-match": "x"}), 422)
    assert both["type"] == "urn:campaigns:problem:rule-broken"
    assert {error["field"] for error in _errors(both)} == {"page", "size", "if-match"}
    assert "size: Field required" in str(both["detail"])


def _errors(found: dict[str, object]) -> list[dict[str, str]]:
    errors = found["errors"]
    assert isinstance(errors, list)
    return errors
