"""One tenant's ordinary key asks for more than its share: what another tenant gets meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest

from api.limits.slots import IMPORTS, TRIGGERS, WRITES
from streams.errors import ConflictError
from tables.database.connection import Database, Session
from tables.tenants import api_keys
from tables.tenants.api_keys import create_key
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.eventually import eventually
from tests.postgres import sql

_CSV = {"Content-Type": "text/csv"}


@asynccontextmanager
async def locked(rest: Rest, campaign: str) -> AsyncIterator[None]:
    """Somebody else holds the campaign's row, so that every change of it has to wait."""
    async with rest.world.pool.transaction() as session:
        await sql(session).execute("SELECT FROM campaigns WHERE id = $1 FOR UPDATE", UUID(campaign))
        yield


async def reads_and_writes(client: httpx.AsyncClient) -> None:
    """What an ordinary page of the dashboard does, and a change."""
    for path in ("/campaigns", "/segments", "/templates", "/contacts", "/tenant"):
        assert (await client.get(path)).status_code == 200
    made = await client.post("/segments", json={"name": f"Segment {uuid4()}"})
    assert made.status_code == 201, made.text


@pytest.mark.parametrize("what", ["triggers", "changes", "starts"])
async def test_changes_that_wait_for_a_row_take_no_connection_of_another_tenant(
    rest: Rest, what: str
) -> None:
    made = await (
        rest.running(type="triggered", segmentIds=[]) if what == "triggers" else rest.draft()
    )
    path = f"/campaigns/{made['id']}"

    async def one() -> int:
        match what:
            case "triggers":
                body = {"contactIds": [str(uuid4()) for _ in range(100)]}
                answer = await rest.admin.post(f"{path}/trigger", json=body)
            case "changes":
                answer = await rest.admin.patch(path, json={"name": f"N {uuid4()}"})
            case _:
                answer = await rest.admin.post(f"{path}/start")
        return answer.status_code

    room = TRIGGERS if what == "triggers" else WRITES
    async with locked(rest, made["id"]):
        held_up = [asyncio.create_task(one()) for _ in range(40)]
        await eventually(lambda: rest.services.slots.of(room).taken == room.each)
        for _ in range(5):
            await reads_and_writes(rest.stranger)
        assert (await rest.of["viewer"].get(path)).status_code == 200
    # of those that came first all are carried out, unless a busy machine made them wait too long
    statuses = set(await asyncio.gather(*held_up))
    assert statuses <= {200, 202, 409, 429, 503}
    assert rest.services.slots.of(room).taken == 0


async def test_files_that_one_tenant_sends_slowly_leave_room_for_anothers(rest: Rest) -> None:
    begun, go = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"email\n"
        begun.release()
        await go.wait()
        yield b"a@example.com\n"

    async def send(client: httpx.AsyncClient, content: Any) -> httpx.Response:
        return await client.post("/contacts/import", content=content, headers=_CSV)

    running = [asyncio.create_task(send(rest.admin, slow())) for _ in range(IMPORTS.each)]
    for _ in running:
        await begun.acquire()
    refused = await send(rest.admin, b"email\nb@example.com\n")
    detail = str(problem(refused, 429)["detail"])
    assert f"{IMPORTS.each} imports of one tenant" in detail and refused.headers["retry-after"]
    assert (await send(rest.stranger, b"email\nb@example.com\n")).status_code == 200
    go.set()
    assert {(await task).status_code for task in running} == {200}


async def test_a_tenant_has_one_quota_however_many_keys_it_makes(rest: Rest) -> None:
    limits = {"api_rate_limit": 10, "api_tenant_rate_limit": 15}
    rest.use(rate_limit=type(rest.services.rate_limit)(*limits.values()))
    statuses = [
        (await rest.of[role].get("/campaigns")).status_code
        for role in ("viewer", "editor", "sender")
        for _ in range(10)
    ]
    assert statuses == [200] * 15 + [429] * 15
    refused = await rest.admin.get("/campaigns")
    assert "15 requests per minute and tenant" in str(problem(refused, 429)["detail"])
    assert (await rest.stranger.get("/campaigns")).status_code == 200


async def test_a_tenant_has_so_many_keys_and_another_one_its_own(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await sql(rest.world.pool).fetchval(
        "SELECT count(*) FROM api_keys WHERE tenant_id = 'acme'"
    )
    async with rest.world.pool.transaction() as session:
        for _ in range(api_keys.MOST_KEYS - good):
            made = await create_key(session, "acme", role="viewer")
        with pytest.raises(ConflictError, match=f"the limit is {api_keys.MOST_KEYS}"):
            await create_key(session, "acme", role="viewer")
    refused = await rest.admin.post("/api-keys", json={"role": "viewer"})
    assert f"the limit is {api_keys.MOST_KEYS}" in str(problem(refused, 409)["detail"])
    assert (await rest.stranger.post("/api-keys", json={"role": "viewer"})).status_code == 201
    assert (await rest.admin.delete(f"/api-keys/{made.id}")).status_code == 204
    assert (await rest.admin.post("/api-keys", json={"role": "viewer"})).status_code == 201


class Counted:
    """A database that counts its transactions."""

    def __init__(self, database: Database) -> None:
        self._database, self.transactions = database, 0

    @asynccontextmanager
    async def transaction(self, *within: Any) -> AsyncIterator[Session]:
        self.transactions += 1
        async with self._database.transaction(*within) as session:
            yield session


async def test_made_up_message_ids_cost_no_query_each(rest: Rest) -> None:
    counted = Counted(rest.services.database)
    rest.use(database=cast("Database", counted))
    ids = [f"{n:012x}" for n in range(1_000, 1_300)]
    paths = [f"/t/o/{n[:8]}-{n[8:]}-8000-8000-{'0' * 12}.gif" for n in ids]
    paths += [f"/u/{n[:8]}-{n[8:]}-8000-8000-{'0' * 12}" for n in ids]
    answers = await asyncio.gather(*(rest.nobody.get(f"http://public{path}") for path in paths))
    assert {answer.status_code for answer in answers} == {200, 404}
    assert counted.transactions < len(paths) / 10


async def test_made_up_webhooks_cost_no_query_each(rest: Rest) -> None:
    counted = Counted(rest.services.database)
    rest.use(database=cast("Database", counted))
    statuses = [
        (await rest.nobody.post(f"http://public/webhooks/ses/nobody-{n}")).status_code
        for n in range(200)
    ]
    assert statuses == [404] * 60 + [503] * 140
    assert counted.transactions == 60
