"""From a mail that comes back to its event on the topic, by each way in."""

from __future__ import annotations

import asyncio
from typing import Any

import aiosmtplib
import pytest

from agents.bounces.listening import BounceListener
from agents.bounces.mailboxes import BounceMailboxes
from connectors.local.engines.engine import free_port
from streams.records.message_id import MessageIds
from streams.settings import Settings
from tables.database.connection import Database
from tables.tenants import routes
from tables.tenants.routes import Credentials
from tests.agents.delivery.given import made, reported, tenant
from tests.connectors.bounces import samples
from tests.connectors.bounces.imap_server import mailbox
from tests.connectors.bounces.samples import DOMAIN, ID
from tests.connectors.routes import given
from tests.eventually import eventually
from tests.smtp_server import PASSWORD, USER


def of(settings: Settings, name: str) -> str:
    """The id of a message of this tenant."""
    return MessageIds.of(settings).make(42, 7, name, settings.key_epoch)


def about(message_id: str, raw: bytes = samples.POSTFIX) -> bytes:
    return raw.replace(ID.encode(), message_id.encode())


async def route(
    settings: Settings, name: str, imap: dict[str, Any] | None = None, **changes: Any
) -> None:
    wanted = given.route(bounces={"domain": DOMAIN, "imap": imap}, **changes)
    mine = None if imap is None else Credentials(USER, PASSWORD)
    seal = routes.sealing(settings)
    async with Database(settings) as database, database.transaction() as session:
        await routes.put(session, seal, name, "relay", wanted, None, mailbox=mine)


async def events(settings: Settings) -> list[tuple[str, str, str]]:
    """Kind, message and tenant of each."""
    found = await asyncio.to_thread(reported, settings)
    return [(one.type, one.message_id, one.tenant_id) for one in found]


async def send(port: int, to: str, raw: bytes) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, timeout=300, start_tls=False)
    async with client:
        await client.sendmail("", [to], raw)


async def test_a_bounce_by_smtp_is_in_kafka_when_it_is_taken(settings: Settings) -> None:
    here = made(settings, bounce_port=free_port())
    for name in ("acme", "globex"):
        await tenant(here, name)
        await route(here, name)
    mine, theirs = of(here, "acme"), of(here, "globex")
    async with BounceListener(None, here):

        async def taken(message_id: str) -> bool:
            try:
                await send(here.bounce_port, f"b.{message_id}@{DOMAIN}", about(message_id))
            except (aiosmtplib.SMTPException, OSError):
                return False
            return True

        await eventually(lambda: taken(mine))
        assert ("bounced", mine, "acme") in await events(here)
        await eventually(lambda: taken(theirs))
        assert ("bounced", theirs, "globex") in await events(here)
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await send(here.bounce_port, f"b.{of(here, 'initech')}@{DOMAIN}", samples.POSTFIX)


async def test_bounces_of_a_mailbox_are_reported_and_a_broken_mailbox_holds_up_no_other(
    settings: Settings,
) -> None:
    here = made(settings)
    for name in ("acme", "globex"):
        await tenant(here, name)
    mine = of(here, "acme")
    async with mailbox() as server:
        server.put(about(mine), about(of(here, "globex")), b"Subject: hello\r\n\r\n")
        there = {"host": "localhost", "port": server.port, "tls": "none", "moveTo": "Done"}
        await route(here, "acme", there)
        await route(here, "globex", there | {"port": free_port()})
        async with BounceMailboxes(None, here):
            await eventually(lambda: all(one.is_seen for one in server.letters.values()))
    assert await events(here) == [("bounced", mine, "acme")]
