"""The routes and messages of the tests here."""

from __future__ import annotations

from typing import Any

from streams.contracts.routes import HttpRoute, RouteSettings
from streams.records.messages import Message

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
