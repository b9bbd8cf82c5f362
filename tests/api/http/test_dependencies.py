"""The unit of work of a request: kept before the answer leaves, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import APIRouter
from starlette.types import Message, Receive, Scope, Send

from api.http.dependencies import Transaction
from api.http.envelope import Success, success
from streams.errors import ConflictError
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.postgres import sql

_TOPIC = "made-by-a-request"
_MAKE = "INSERT INTO outbox (topic, key, payload) VALUES ($1, '', '')"
_KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE state = 'idle in transaction' AND datname = current_database()"
)


async def _is_kept(rest: Rest) -> bool:
    found = await sql(rest.world.pool).fetchval(
        "SELECT count(*) FROM outbox WHERE topic = $1", _TOPIC
    )
    return bool(found)


@asynccontextmanager
async def _with_route(
    rest: Rest, end: Callable[[], Awaitable[None]], when_answering: Callable[[], Awaitable[None]]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application with a route that makes a record and then awaits `end`;
    `when_answering` is awaited when the head of the answer leaves.
    """
    router = APIRouter(tags=["tests"])

    @router.post("/making")
    async def make(transaction: Transaction) -> Success[None]:
        await sql(transaction).execute(_MAKE, _TOPIC)
        await end()
        return success(None)

    rest.app.include_router(router)

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                await when_answering()
            await send(message)

        await rest.app(scope, receive, seen)

    transport = httpx.ASGITransport(watched)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def _nothing() -> None:
    return None


async def test_a_change_is_committed_before_the_answer_leaves(rest: Rest) -> None:
    seen = list[bool]()

    async def look() -> None:
        seen.append(await _is_kept(rest))

    async with _with_route(rest, _nothing, look) as client:
        assert (await client.post("/making")).json() == {"success": True, "data": None}
    assert seen == [True]


async def test_a_refusal_leaves_nothing(rest: Rest) -> None:
    async def refuse() -> None:
        raise ConflictError("The request came too late.")

    async with _with_route(rest, refuse, _nothing) as client:
        refused = problem(await client.post("/making"), 409)
    assert refused["detail"] == "The request came too late."
    assert not await _is_kept(rest)


async def test_an_answer_whose_change_could_not_be_kept_is_503(rest: Rest) -> None:
    async def kill() -> None:
        assert await sql(rest.world.pool).fetchval(_KILL)
        await asyncio.sleep(0)

    async with _with_route(rest, kill, _nothing) as client:
        refused = problem(await client.post("/making"), 503)
    assert refused["type"] == "urn:campaigns:problem:dependency-down"
    assert not await _is_kept(rest)


@pytest.mark.parametrize("body", [{"name": "x" * 300}, {}])
async def test_a_request_that_breaks_a_rule_gives_its_connection_back(
    rest: Rest, body: dict[str, str]
) -> None:
    for _ in range(25):  # the pool has ten
        problem(await rest.admin.post("/segments", json=body), 422)
    assert (await rest.admin.get("/segments")).status_code == 200
