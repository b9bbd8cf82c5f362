"""Webhooks and tracked requests while every connection of the API's pool is in use: they are
answered after a limit of their own, not when a connection is free.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID

import httpx

from api.app import CONNECTIONS
from streams import metrics
from streams.records.link_tokens import LinkTokens
from streams.records.message_id import MessageIds
from tests.api.recipients.hooks import Hooks
from tests.postgres import sql


async def test_without_a_free_connection_providers_and_recipients_are_answered_all_the_same(
    quiet_hooks: Hooks,
) -> None:
    hooks, rest = quiet_hooks, quiet_hooks.rest
    draft = await rest.draft()
    statement = "SELECT number FROM campaigns WHERE id = $1"
    number = await sql(rest.world.pool).fetchval(statement, UUID(draft["id"]))
    message = MessageIds.of(rest.world.settings).make(number, 7, "acme", 0)
    headers, body = hooks.about("standard", message)
    unsubscribing, tracking = LinkTokens.of(rest.world.settings).make(message)
    lost = metrics.TRACKING_LOST._value.get()
    client, database = hooks.provider, rest.services.database
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            session = await stack.enter_async_context(database.transaction())
            await session.connection()
        async with asyncio.timeout(300):  # without a limit they would wait for ever
            report, challenge, picture, click, unsubscribe = await asyncio.gather(
                client.post("/webhooks/standard/acme", content=body, headers=headers),
                client.get("/webhooks/whatsapp/acme"),
                client.get(f"/t/o/{tracking}.gif"),
                client.get(f"/t/c/{tracking}/0"),
                client.post(f"/u/{unsubscribing}"),
            )
    for refused in (report, challenge):
        _is_a_problem(refused)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/gif")
    assert metrics.TRACKING_LOST._value.get() == lost + 1
    for page in (click, unsubscribe):
        assert page.status_code == 503 and page.headers["retry-after"]
        assert page.headers["content-type"].startswith("text/html")
    assert (await client.get("/webhooks/whatsapp/acme")).status_code == 401  # as before


def _is_a_problem(answer: httpx.Response) -> None:
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:campaigns:problem:dependency-down"
    assert "no free connection within 2 s" in problem["detail"]
