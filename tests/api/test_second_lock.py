"""Routes that forget their tenant: the rows of another one stay hidden all the same."""

from __future__ import annotations

import asyncio
from uuid import UUID

import httpx
import pytest
from fastapi import Depends
from sqlalchemy import select, update

from api.http.auth import counted
from api.http.dependencies import Provided, Transaction
from tables.directory import mirror
from tables.models import AuditEntry, Campaign, Contact, Segment, Suppression, Template
from tables.tenancy.acting import acting_for
from tests.api.world import Rest
from tests.postgres import connect as connect_client

_MODELS = (AuditEntry, Campaign, Contact, Segment, Suppression, Template)
Found = dict[str, list[str]]


async def _changed(transaction: Transaction) -> Found:
    await transaction.execute(update(Contact).values(first_name="Forgotten"))
    return {
        model.__tablename__: list(await transaction.scalars(select(model.tenant_id)))
        for model in _MODELS
    }


async def _read(services: Provided) -> Found:
    async with services.database.reading() as connection:
        return {
            model.__tablename__: await connection.values(
                f"SELECT tenant_id FROM {model.__tablename__}"
            )
            for model in _MODELS
        }


@pytest.fixture
async def forgetful(rest: Rest) -> Rest:
    """Two rows of each tenant in every one of these tables, and routes that ask for all of them."""
    client = await connect_client(rest.world.settings.postgres)
    for tenant in ("acme", "globex") * 2:
        for insert in (
            "contacts (id, tenant_id, email) SELECT uuidv7(), $1, uuidv7() || '@example.com'",
            "suppressions (tenant_id, channel, address) SELECT $1, 'email', uuidv7()::text",
            "campaigns (tenant_id, name, channel, created_by) SELECT $1, 'S', 'email', uuidv7()",
            "segments (tenant_id, name) SELECT $1, uuidv7()::text",
            "templates (tenant_id, name, channel, content) SELECT $1, 'T', 'email', '{}'",
            "audit_log (tenant_id, actor, action, subject, reason) SELECT $1, 'a', 'b', 'c', ''",
        ):
            await client.execute(f"INSERT INTO {insert}", tenant)
    await client.close()
    caller = [Depends(counted)]
    rest.app.post("/api/v1/forgotten", dependencies=caller, tags=["test"])(_changed)
    rest.app.get("/api/v1/forgotten", dependencies=caller, tags=["test"])(_read)
    rest.app.get("/api/v1/nobodys", tags=["test"])(_read)
    return rest


async def _tenants(client: httpx.AsyncClient, method: str, path: str) -> set[str]:
    """The tenants of the rows that a route shows; every table shows those of the same ones."""
    answer = await client.request(method, path)
    assert answer.status_code == 200, answer.text
    found = {frozenset(tenants) for tenants in answer.json().values()}
    assert len(found) == 1, answer.json()
    return set(found.pop())


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_route_that_forgets_its_tenant_shows_and_changes_the_callers_rows(
    forgetful: Rest, method: str
) -> None:
    for client, tenant in ((forgetful.admin, "acme"), (forgetful.stranger, "globex")):
        assert await _tenants(client, method, "/forgotten") == {tenant}
    await forgetful.stranger.post("/contacts", json={"email": "new@example.com"})
    named = await forgetful.stranger.get("/contacts?search=Forgotten")
    assert len(named.json()["data"]) == (2 if method == "POST" else 0)


async def test_a_request_without_a_tenant_sees_nothing_also_after_one_that_had_one(
    forgetful: Rest,
) -> None:
    for client in (forgetful.nobody, forgetful.admin, forgetful.nobody, forgetful.stranger):
        assert await _tenants(client, "GET", "/nobodys") == set()
        if client is not forgetful.nobody:
            assert await _tenants(client, "GET", "/forgotten")


async def test_requests_of_two_tenants_at_once_see_their_own(forgetful: Rest) -> None:
    callers = [(forgetful.admin, {"acme"}), (forgetful.stranger, {"globex"})] * 20
    seen = await asyncio.gather(*(_tenants(who, "GET", "/forgotten") for who, _ in callers))
    assert seen == [expected for _, expected in callers]


async def test_the_application_has_the_rights_of_its_role_and_no_more(rest: Rest) -> None:
    async with rest.services.database.transaction() as session:
        assert str(await session.value("SELECT current_user")).endswith("-api")
        assert not await session.value(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )


async def test_ids_of_another_tenant_are_refused_and_left_alone_as_without_the_lock(
    rest: Rest,
) -> None:
    made = await rest.stranger.post("/contacts", json={"email": "theirs@example.com"})
    theirs = made.json()["data"]["id"]
    rows = [{"id": theirs, "email": "mine@example.com"}, {"email": "mine@example.com"}]
    answer = await rest.admin.post("/contacts/bulk", json=rows)
    summary = answer.json()["data"]
    assert (summary["imported"], summary["rejected"]) == (1, 1)
    assert summary["rejects"] == [{"line": 1, "reason": "id: taken"}]
    segment = (await rest.stranger.get("/segments")).json()["data"][0]
    template = (await rest.stranger.get("/templates")).json()["data"][0]
    with acting_for("acme"):
        async with rest.services.database.transaction() as session:
            content = {"subject": "Mine", "text": "Mine"}
            await mirror.keep_segment(session, "acme", UUID(segment["id"]), "Mine")
            await mirror.keep_template(
                session, "acme", UUID(template["id"]), "Mine", "email", content
            )
    assert (await rest.stranger.get("/segments")).json()["data"][0]["name"] == segment["name"]
    assert (await rest.stranger.get("/templates")).json()["data"][0]["name"] == template["name"]
    contact = (await rest.stranger.get(f"/contacts/{theirs}")).json()["data"]
    assert contact["email"] == "theirs@example.com"
