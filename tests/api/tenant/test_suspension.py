"""The keys of a suspended tenant are refused on every route, and people can say no all the same."""

from __future__ import annotations

from datetime import UTC, datetime

from tables.commands import suspension
from tables.tenants.audit import COMMAND_LINE
from tests.api.campaigns.test_routes import problem
from tests.api.http.routes import PUBLIC, guarded
from tests.api.http.test_authorization import things
from tests.api.recipients.hooks import Hooks
from tests.api.world import Rest


async def suspend(rest: Rest) -> None:
    async with rest.world.pool.transaction() as session:
        await suspension.suspend(
            session,
            rest.world.settings,
            "acme",
            by=COMMAND_LINE,
            reason="unpaid",
            at=datetime.now(UTC),
        )


async def test_every_route_answers_403_with_a_sentence_and_other_tenants_go_on(rest: Rest) -> None:
    parameters = await things(rest.admin)
    await suspend(rest)
    for operation in guarded(rest.app):
        refused = problem(await operation.call(rest.admin, parameters), 403)
        assert refused["type"] == "urn:campaigns:problem:tenant-suspended", operation
        assert "suspended" in str(refused["detail"]), operation
    assert (await rest.stranger.get("/campaigns")).status_code == 200
    wrong = rest.keys["admin"][:-1] + ("0" if rest.keys["admin"][-1] != "0" else "1")
    headers = {"Authorization": f"Bearer {wrong}"}
    # a guessed key learns nothing of the tenant
    problem(await rest.nobody.get("/campaigns", headers=headers), 401)
    signing = {"X-Requested-With": "dashboard"}
    body = {"apiKey": rest.keys["admin"]}
    problem(await rest.nobody.post("http://api/session", json=body, headers=signing), 403)


async def test_what_needs_no_key_never_looks_at_the_suspension(rest: Rest) -> None:
    """A route is either of a caller, who is refused, or public, and then it asks for nobody."""
    assert not {(one.method, one.path) for one in guarded(rest.app)} & PUBLIC


async def test_pixels_unsubscribing_and_webhooks_go_on(hooks: Hooks) -> None:
    message = await hooks.message()
    path = hooks.unsubscribe(message)
    await suspend(hooks.rest)
    assert (await hooks.provider.get(path)).status_code == 200
    assert (await hooks.provider.post(path)).status_code == 200
    assert await hooks.suppressed()
    for provider in ("mailgun", "twilio", "standard"):
        assert await hooks.reported(provider, message) == 204, provider
    assert ("delivered", message) in await hooks.events()
