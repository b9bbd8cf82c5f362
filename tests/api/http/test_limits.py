"""What a caller may ask for: requests per minute with headers that say what is left, addresses and
methods.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from api.http.limits import BodyLimit, Quota, QuotaHeaders, RateLimit
from streams.errors import RateLimitedError
from streams.settings import Settings
from tests.api.campaigns.test_routes import problem
from tests.api.http.small_app import asked, with_problems
from tests.api.world import Rest, resting


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_minute_has_its_requests_for_every_caller_of_its_own() -> None:
    clock = _Clock()
    limit = RateLimit(2, clock=clock)
    first = limit.take("ana")
    assert first is not None and (first.limit, first.remaining, first.reset) == (2, 1, 60)
    clock.now += 59.5
    last = limit.take("ana")
    assert last is not None and (last.remaining, last.reset) == (0, 1)
    with pytest.raises(RateLimitedError) as refused:
        limit.take("ana")
    assert refused.value.retry_after == 1
    assert limit.take("bob") is not None
    clock.now += 0.5
    again = limit.take("ana")
    assert again is not None and again.remaining == 1


def test_without_a_limit_nobody_is_counted() -> None:
    assert RateLimit(0).take("ana") is None


@pytest.fixture
async def narrow(database: str) -> AsyncIterator[Rest]:
    keys = (SecretStr("00" * 32),)
    nowhere = Settings(
        kafka="127.0.0.1:1",
        nats="nats://127.0.0.1:1",
        postgres=database,
        message_keys=keys,
        api_rate_limit=3,
    )
    async with resting(nowhere) as rest:
        yield rest


async def test_the_request_above_the_limit_answers_429_and_every_answer_says_what_is_left(
    narrow: Rest,
) -> None:
    for remaining, path in (
        (2, "/campaigns"),
        (1, f"/campaigns/{uuid4()}"),
        (0, "/campaigns?page=0"),
    ):
        answer = await narrow.admin.get(path)
        assert (answer.headers["ratelimit-limit"], answer.headers["ratelimit-remaining"]) == (
            "3",
            str(remaining),
        ), path
        assert 0 < int(answer.headers["ratelimit-reset"]) <= 60
    answer = await narrow.admin.get("/campaigns")
    assert problem(answer, 429)["type"] == "urn:campaigns:problem:rate-limited"
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert (await narrow.of["viewer"].get("/campaigns")).status_code == 200, (
        "another key has its own"
    )
    assert "ratelimit-limit" not in (await narrow.nobody.get("/campaigns")).headers
    assert (await narrow.nobody.get("http://api/livez")).status_code == 200


async def test_405_names_every_method_of_the_address(rest: Rest) -> None:
    for method, path, allowed in (
        ("PUT", "/campaigns", "GET, POST"),
        ("OPTIONS", f"/campaigns/{uuid4()}", "DELETE, GET, PATCH"),
        ("DELETE", "/contacts/import", "POST"),
        ("GET", "/suppressions/bulk", "POST"),
    ):
        answer = await rest.admin.request(method, path)
        problem(answer, 405)
        assert answer.headers["allow"] == allowed, (method, path)


async def test_an_address_without_end_answers_414(rest: Rest) -> None:
    for path in (
        f"/campaigns?search={'x' * 9_000}",
        f"/campaigns/{'x' * 9_000}",
        f"http://api/{'x' * 9_000}",
    ):
        assert problem(await rest.admin.get(path), 414)["type"] == "urn:campaigns:problem:too-long"


async def _body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how many bytes have arrived."""
    arrived, more = 0, True
    while more:
        message = await receive()
        arrived, more = arrived + len(message["body"]), message.get("more_body", False)
    await PlainTextResponse(str(arrived))(scope, receive, send)


def _limited(limit: int = 100, larger: dict[str, int] | None = None) -> FastAPI:
    app = with_problems()
    app.mount("/", _body)
    app.add_middleware(BodyLimit, limit=limit, larger=larger)
    return app


async def _pieces(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


@pytest.mark.parametrize(
    ("sizes", "status"),
    [((100,), 200), ((101,), 413), ((50, 50), 200), ((50, 50, 1), 413), ((), 200)],
)
async def test_a_body_is_counted_as_it_arrives(sizes: tuple[int, ...], status: int) -> None:
    answer = await asked(_limited(), "POST", "/x", _pieces(*sizes))
    assert answer.status_code == status
    if status == 200:
        assert answer.text == str(sum(sizes))
    else:
        assert answer.json()["detail"] == "The body is larger than 100 bytes, the limit."


@pytest.mark.parametrize(
    ("declared", "status"), [("100", 200), ("101", 413), ("9" * 40, 413), ("-1", 200), ("x", 200)]
)
async def test_a_declared_length_is_refused_before_the_body_is_read(
    declared: str, status: int
) -> None:
    answer = await asked(_limited(), "POST", "/x", _pieces(1), {"content-length": declared})
    assert answer.status_code == status


async def test_a_path_may_have_a_larger_limit_of_its_own_and_no_other_path() -> None:
    app = _limited(10, {"/import": 1_000})
    assert (await asked(app, "POST", "/import", b"x" * 1_000)).text == "1000"
    refused = await asked(app, "POST", "/import", b"x" * 1_001)
    assert "1,000 bytes" in refused.json()["detail"]
    assert (await asked(app, "POST", "/import/more", b"x" * 11)).status_code == 413


@pytest.mark.parametrize(("query", "status"), [(8189, 200), (8190, 414)])
async def test_path_and_query_count_together(query: int, status: int) -> None:
    answer = await asked(_limited(), "GET", "/ab?" + "x" * query)
    assert answer.status_code == status


@pytest.mark.parametrize("passed", [0, 0.4, 59.4])
def test_the_time_until_the_next_minute_is_rounded_up(passed: float) -> None:
    clock = _Clock()
    limit = RateLimit(5, clock=clock)
    limit.take("ana")
    clock.now += passed
    taken = limit.take("ana")
    assert taken is not None and taken.reset == math.ceil(60 - passed)


async def test_an_answer_says_what_is_left_only_when_the_caller_was_counted() -> None:
    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/counted":
            scope.setdefault("state", {})["quota"] = Quota(10, 3, 42)
        await PlainTextResponse("x")(scope, receive, send)

    answer = await asked(QuotaHeaders(counted), "GET", "/counted")
    assert {
        name: answer.headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")
    } == {
        "limit": "10",
        "remaining": "3",
        "reset": "42",
    }
    assert "ratelimit-limit" not in (await asked(QuotaHeaders(counted), "GET", "/x")).headers
