"""Who may do what: every route asks for a key, every foreign campaign is unknown, every role stops where it should, cookies are guarded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from tables.sql.tenants import ROLES, create_key, revoke_key
from tests.api.test_campaigns import problem
from tests.api.world import Rest

_BODIES = {"post": {"name": "x", "channel": "email"}, "patch": {"name": "x"}}


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path below /api/v1) of every route of the API that a tenant calls."""
    return [
        (method, path.removeprefix("/api/v1"))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/api/v1")
    ]


def needed(method: str, path: str) -> str:
    """The role that a route asks for: reading, writing, sending."""
    if method == "get":
        return "viewer"
    return "sender" if path.rpartition("/")[2] in ("start", "pause", "resume", "cancel") else "editor"


async def call(client: httpx.AsyncClient, method: str, path: str, campaign: object) -> httpx.Response:
    body = _BODIES.get(method) if "{" not in path or method == "patch" else None
    return await client.request(method.upper(), path.replace("{campaignId}", str(campaign)), json=body)


async def test_without_a_key_every_route_answers_401(rest: Rest) -> None:
    found = operations(rest.app)
    assert len(found) >= 13
    for method, path in found:
        answer = await call(rest.nobody, method, path, uuid4())
        assert problem(answer, 401)["type"] == "urn:campaigns:problem:unauthorized", path
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_another_tenants_campaign_is_unknown_on_every_route(rest: Rest) -> None:
    campaign = (await rest.running())["id"]
    for method, path in operations(rest.app):
        if "{campaignId}" in path:
            foreign, never = campaign, str(uuid4())
            details = [str(problem(await call(rest.stranger, method, path, it), 404)["detail"]) for it in (foreign, never)]
            assert details == [f"There is no campaign {it}." for it in (foreign, never)], (method, path)
    assert (await rest.admin.get(f"/campaigns/{campaign}")).json()["data"]["status"] == "running"


async def test_a_role_stops_at_what_it_may_not_do(rest: Rest) -> None:
    for method, path in operations(rest.app):
        if path.endswith("/events"):
            continue  # endless; read with the lowest role in test_live.py
        for role in ROLES:
            answer = await call(rest.of[role], method, path, uuid4())
            if ROLES.index(role) < ROLES.index(needed(method, path)):
                assert role in str(problem(answer, 403)["detail"]), (method, path)
            else:
                assert answer.status_code not in (401, 403), (method, path, role)


async def test_a_key_that_is_wrong_in_any_way_answers_401(rest: Rest) -> None:
    good = rest.keys["admin"]
    async with rest.world.pool.acquire() as connection:
        revoked = await create_key(connection, "acme")
        await revoke_key(connection, "acme", revoked.id)
        expired = await create_key(connection, "acme", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    wrong = ("Bearer", "Bearer x", f"Basic {good}", good, "Bearer \xff", f"Bearer {good}\t{good}", f"Bearer {good[:-1]}", f"Bearer {good}0")
    for header in (*wrong, f"Bearer {revoked.text}", f"Bearer {expired.text}"):
        answer = await rest.nobody.get("/campaigns", headers={b"Authorization": header.encode("latin-1")})
        problem(answer, 401)
        assert good not in answer.text
    assert (await rest.nobody.get("/campaigns", headers={"Authorization": f"bearer {good}"})).status_code == 200


async def test_the_cookie_of_the_dashboard_reads_but_writes_only_for_our_own_page(rest: Rest) -> None:
    page = {"X-Requested-With": "dashboard"}
    browser = rest.nobody
    problem(await browser.post("http://api/session", json={"apiKey": rest.keys["admin"]}), 403)
    problem(await browser.post("http://api/session", json={"apiKey": "ce_live_x"}, headers=page), 401)
    signed_in = await browser.post("http://api/session", json={"apiKey": rest.keys["admin"]}, headers=page)
    assert signed_in.json() == {"success": True, "data": {"tenantId": "acme", "role": "admin"}}
    flags = {part.strip().lower() for part in signed_in.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict"} <= flags and "max-age" not in str(flags)
    assert (await browser.get("http://api/session")).json()["data"]["tenantId"] == "acme"
    assert (await browser.get("/campaigns")).status_code == 200
    problem(await browser.post("/campaigns", json=rest.world.draft()), 401)
    assert (await browser.post("/campaigns", json=rest.world.draft(), headers=page)).status_code == 201
    await browser.delete("http://api/session", headers=page)
    problem(await browser.get("/campaigns"), 401)


@pytest.mark.parametrize("public_url", ["https://campaigns.example", "http://127.0.0.1:8080"])
async def test_the_cookie_is_for_https_only_when_the_public_address_is(rest: Rest, public_url: str) -> None:
    rest.app.state.settings = rest.app.state.settings.model_copy(update={"public_url": public_url})
    page = {"X-Requested-With": "dashboard"}
    # behind a proxy that ends TLS the request itself says http
    answer = await rest.nobody.post("http://api/session", json={"apiKey": rest.keys["viewer"]}, headers=page)
    assert ("secure" in answer.headers["set-cookie"].lower()) == public_url.startswith("https:")
