"""Setting up webhooks: who may, what is refused, and that nothing of it is ever read back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.campaigns.test_routes import problem
from tests.api.recipients.hooks import SETTINGS, Hooks
from tests.api.world import Rest
from tests.connectors.webhooks import webhook_signing as signing
from tests.postgres import sql


async def test_settings_are_for_admins_are_never_read_back_and_lie_encrypted(
    quiet_hooks: Hooks,
) -> None:
    hooks = quiet_hooks
    rest = hooks.rest
    for method, body in (("PUT", SETTINGS["twilio"]), ("GET", None), ("DELETE", None)):
        problem(await rest.of["sender"].request(method, "/tenant/webhooks/twilio", json=body), 403)
        problem(await rest.admin.request(method, "/tenant/webhooks/postmark", json=body), 404)
    shown = await rest.admin.get("/tenant/webhooks/whatsapp")
    data = shown.json()["data"]
    assert data.pop("updatedAt") and data == {
        "provider": "whatsapp",
        "url": "http://127.0.0.1:8080/webhooks/whatsapp/acme",
        "isSet": ["secret", "verifyToken"],
        "pendingSubscriptions": [],
    }
    rows = await sql(rest.world.pool).fetch("SELECT * FROM webhook_secrets")
    dump = b"".join(row["sealed"] for row in rows) + repr(rows).encode()
    for secret in (signing.SECRET, signing.STANDARD_SECRET, "chosen by us", signing.sendgrid_key()):
        assert secret.encode() not in dump and secret not in shown.text
    problem(await rest.stranger.get("/tenant/webhooks/twilio"), 404)


async def test_settings_of_another_tenant_cannot_be_copied_and_removed_ones_are_404(
    quiet_hooks: Hooks,
) -> None:
    hooks = quiet_hooks
    pool = hooks.rest.world.pool
    await sql(pool).execute(
        "INSERT INTO webhook_secrets"
        " SELECT 'globex', provider, fields, sealed, updated_at"
        " FROM webhook_secrets WHERE tenant_id = 'acme'"
    )
    signed = signing.standard([])
    assert await hooks.post("standard", signed) == 204
    assert await hooks.post("standard", signed, tenant="globex") == 503  # it does not open
    assert (await hooks.rest.admin.delete("/tenant/webhooks/standard")).status_code == 204
    assert await hooks.post("standard", signed) == 404
    problem(await hooks.rest.admin.delete("/tenant/webhooks/standard"), 404)


@pytest.mark.parametrize(
    ("provider", "body", "field"),
    [
        ("twilio", {}, "secret"),
        ("twilio", {"secret": "canary-a", "publicKey": "canary-b"}, "publicKey"),
        ("ses", {"topicArns": ["arn:aws:sqs:x"]}, "topicArns"),
        ("sendgrid", {"publicKey": "canary no key"}, "publicKey"),
        ("standard", {"secret": "whsec_"}, "secret"),
        ("whatsapp", {"secret": "canary-a"}, "verifyToken"),
        ("mailgun", {"secret": "canary-a", "other": "canary-b"}, "other"),
    ],
    ids=["nothing", "too much", "no topic", "no key", "short", "half", "unknown"],
)
async def test_settings_that_cannot_be_right_are_refused_without_being_repeated(
    rest: Rest, provider: str, body: dict[str, Any], field: str
) -> None:
    answer = await rest.admin.put(f"/tenant/webhooks/{provider}", json=body)
    assert problem(answer, 422)
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "canary" not in answer.text


async def test_meta_is_told_that_the_address_is_ours(quiet_hooks: Hooks) -> None:
    hooks = quiet_hooks
    query = {
        "hub.mode": "subscribe",
        "hub.verify_token": "chosen by us",
        "hub.challenge": "1158201444",
    }
    answer = await hooks.provider.get("/webhooks/whatsapp/acme", params=query)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (
        200,
        "1158201444",
        "text/plain; charset=utf-8",
    )
    assert (
        await hooks.provider.get(
            "/webhooks/whatsapp/acme", params={**query, "hub.verify_token": "guessed"}
        )
    ).status_code == 401
    assert (await hooks.provider.get("/webhooks/whatsapp/globex", params=query)).status_code == 404


async def test_a_subscription_is_kept_for_the_admin_and_never_confirmed_by_us(
    quiet_hooks: Hooks,
) -> None:
    hooks = quiet_hooks
    assert (
        await hooks.post("ses", signing.sns("You have chosen …", "SubscriptionConfirmation")) == 204
    )
    shown = (await hooks.rest.admin.get("/tenant/webhooks/ses")).json()["data"]
    assert [
        (one["topicArn"], "ConfirmSubscription" in one["subscribeUrl"])
        for one in shown["pendingSubscriptions"]
    ] == [(signing.TOPIC, True)]
