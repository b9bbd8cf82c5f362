"""The routes and messages of the tests here, and the requests that come of them: ours, and those of
a provider's own SDK.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from connectors.delivery.classification import Verdict
from connectors.delivery.http.client import Client
from connectors.delivery.http.exchange import Answer, Provider
from connectors.delivery.providers.table import provider_of
from streams.contracts.routes import HttpRoute, RouteSettings
from streams.records.messages import Message
from tables.tenants.routes import Credentials
from tests.connectors.routes.given import settings
from tests.http_service import Heard, Service

SECRET = Credentials("the-user", "the-secret")
NOW = datetime(2026, 11, 1, 12, 5, tzinfo=UTC)
ID = "00000000-0001-8000-8000-00000000002a"


def route(provider: str, url: str | None, **changes: Any) -> HttpRoute:
    """Email from acme.example, unless something else is said."""
    given: dict[str, Any] = {"channel": "email", "provider": provider, "url": url}
    if changes.get("channel", "email") == "email":
        given["fromDomains"] = ["acme.example"]
    made = RouteSettings.model_validate(given | changes)
    assert isinstance(made, HttpRoute)
    return made


def email(**changes: Any) -> Message:
    """The same one every time."""
    given: dict[str, Any] = {
        "message_id": ID,
        "tenant_id": "acme",
        "campaign_id": "0190a000-0000-7000-8000-000000000001",
        "contact_id": "0190a000-0000-7000-8000-000000000002",
        "recipient_number": 42,
        "channel": "email",
        "to": "ana@example.com",
        "content": {"subject": "Grüße", "html": "<p>Hello, Ana</p>", "text": "Hello, Ana"},
        "created_at": "2026-11-01T12:00:00.000Z",
        "sender": {"email": "news@acme.example", "name": "Acme", "replyTo": "help@acme.example"},
        "headers": {"List-Unsubscribe": "<https://acme.example/u>"},
    }
    return Message(**(given | changes))


def text(channel: str = "sms", **changes: Any) -> Message:
    """A message of another channel."""
    given: dict[str, Any] = {
        "channel": channel,
        "to": "+4915112345678",
        "content": {"text": "Hello, Ana"},
        "sender": {"senderId": "+4930123456"},
        "headers": None,
    }
    return email(**(given | changes))


def provider(name: str, url: str | None = None, **changes: Any) -> Provider:
    """With the credentials SECRET."""
    return provider_of(route(name, url, **changes), SECRET)


async def ours(
    there: Service, name: str, message: Message, ca_file: str = "", **changes: Any
) -> Heard:
    """The request that the message becomes. There is one, and it is answered."""
    wanted, before = route(name, there.url, **changes), len(there.heard)
    client = Client(settings(routes_ca_file=ca_file), wanted)
    try:
        request = provider_of(wanted, SECRET).request([message], NOW)
        assert isinstance(await client.send(request), Answer)
    finally:
        await client.close()
    assert len(there.heard) == before + 1
    return there.last


async def theirs(there: Service, call: Callable[[], object]) -> Heard:
    """The request that an SDK makes of a call."""
    before = len(there.heard)
    await asyncio.to_thread(call)
    assert len(there.heard) == before + 1
    return there.last


def are_one(first: Heard, second: Heard, *headers: str) -> None:
    """Assert that the requests have the same method, target and headers of these names."""
    assert (first.method, first.target) == (second.method, second.target)
    for name in headers:
        assert name in first.headers, name
        assert first.headers[name] == second.headers[name], name


def verdict(of: Provider, status: int, body: bytes, **headers: str) -> Verdict:
    """The verdict on an answer; underscores of the names of headers are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    [found] = of.read(Answer(status, named, body), [email()])
    return found.verdict
