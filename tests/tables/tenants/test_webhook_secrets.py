"""Secrets, subscriptions and tokens of webhooks, on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from streams.errors import NotFoundError
from streams.settings import Settings
from tables.database.connection import Session
from tables.models import WebhookToken
from tables.tenants import webhook_secrets
from tables.tenants.webhook_secrets import WebhookSecret, sealing


async def test_secrets_are_replaced_opened_and_removed(
    session: Session, sql_settings: Settings
) -> None:
    seal = sealing(sql_settings)
    for secret in (WebhookSecret(secret="old"), WebhookSecret(public_key="key")):
        made = await webhook_secrets.put(session, seal, "acme", "mailgun", secret)
        assert await webhook_secrets.load(session, seal, "acme", "mailgun") == secret
        assert await webhook_secrets.get(session, "acme", "mailgun") == made
    assert list(made.fields) == ["public_key"]
    await webhook_secrets.ask(session, "acme", "mailgun", "arn", "https://example.com/old")
    await webhook_secrets.ask(session, "acme", "mailgun", "arn", "https://example.com/new")
    asked = await webhook_secrets.subscriptions(session, "acme", "mailgun")
    assert [one.subscribe_url for one in asked] == ["https://example.com/new"]
    await webhook_secrets.remove(session, "acme", "mailgun")
    assert await webhook_secrets.subscriptions(session, "acme", "mailgun") == []
    for gone in (webhook_secrets.get, webhook_secrets.remove):
        with pytest.raises(NotFoundError):
            await gone(session, "acme", "mailgun")
    with pytest.raises(NotFoundError):
        await webhook_secrets.load(session, seal, "acme", "mailgun")


async def test_a_token_keeps_its_first_meaning_until_its_time_is_over(session: Session) -> None:
    async def meaning(token: str, now: str, keep: timedelta = timedelta(hours=1)) -> str:
        return await webhook_secrets.first_meaning(session, "acme", "sns", token, now, keep)

    assert await meaning("t", "first") == "first"
    assert await meaning("t", "second") == "first"
    assert await meaning("brief", "first", timedelta(seconds=-1)) == "first"
    assert await meaning("brief", "second") == "second"
    assert await session.scalar(select(func.count()).select_from(WebhookToken)) == 2
