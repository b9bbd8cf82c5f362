"""What a caller may ask for: requests per minute with headers that say what is left, addresses and
methods.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from pydantic import SecretStr

from api.http.limits import RateLimit
from streams.errors import RateLimitedError
from streams.settings import Settings
from tests.api.campaigns.test_routes import problem
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
