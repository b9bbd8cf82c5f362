"""Credentials: keys that are wrong in any way, the guarded cookie of the dashboard. What each route
asks for: test_authorization.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tables.tenants.api_keys import create_key, revoke_key
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest


async def test_a_key_that_is_wrong_in_any_way_answers_401(rest: Rest) -> None:
    good = rest.keys["admin"]
    async with rest.world.pool.transaction() as connection:
        revoked = await create_key(connection, "acme")
        await revoke_key(connection, "acme", revoked.id)
        expired = await create_key(
            connection, "acme", expires_at=datetime.now(UTC) - timedelta(seconds=1)
        )
    wrong = (
        "Bearer",
        "Bearer x",
        f"Basic {good}",
        good,
        "Bearer \xff",
        f"Bearer {good}\t{good}",
        f"Bearer {good[:-1]}",
        f"Bearer {good}0",
    )
    for header in (*wrong, f"Bearer {revoked.text}", f"Bearer {expired.text}"):
        answer = await rest.nobody.get(
            "/campaigns", headers={b"Authorization": header.encode("latin-1")}
        )
        problem(answer, 401)
        assert good not in answer.text
    assert (
        await rest.nobody.get("/campaigns", headers={"Authorization": f"bearer {good}"})
    ).status_code == 200


async def test_the_cookie_of_the_dashboard_reads_but_writes_only_for_our_own_page(
    rest: Rest,
) -> None:
    page = {"X-Requested-With": "dashboard"}
    browser = rest.nobody
    problem(await browser.post("http://api/session", json={"apiKey": rest.keys["admin"]}), 403)
    problem(
        await browser.post("http://api/session", json={"apiKey": "ce_live_x"}, headers=page), 401
    )
    signed_in = await browser.post(
        "http://api/session", json={"apiKey": rest.keys["admin"]}, headers=page
    )
    assert signed_in.json() == {"success": True, "data": {"tenantId": "acme", "role": "admin"}}
    flags = {part.strip().lower() for part in signed_in.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict"} <= flags and "max-age" not in str(flags)
    assert (await browser.get("http://api/session")).json()["data"]["tenantId"] == "acme"
    assert (await browser.get("/campaigns")).status_code == 200
    problem(await browser.post("/campaigns", json=rest.world.draft()), 401)
    assert (
        await browser.post("/campaigns", json=rest.world.draft(), headers=page)
    ).status_code == 201
    await browser.delete("http://api/session", headers=page)
    problem(await browser.get("/campaigns"), 401)


@pytest.mark.parametrize("public_url", ["https://campaigns.example", "http://127.0.0.1:8080"])
async def test_the_cookie_is_for_https_only_when_the_public_address_is(
    rest: Rest, public_url: str
) -> None:
    rest.use(settings=rest.services.settings.model_copy(update={"public_url": public_url}))
    page = {"X-Requested-With": "dashboard"}
    # behind a proxy that ends TLS the request itself says http
    answer = await rest.nobody.post(
        "http://api/session", json={"apiKey": rest.keys["viewer"]}, headers=page
    )
    assert ("secure" in answer.headers["set-cookie"].lower()) == public_url.startswith("https:")
