"""Where they are off, the services of bounces ask nobody and open nothing; and where they cannot
listen they say so.
"""

from __future__ import annotations

import asyncio

import pytest

from agents.bounces.listening import BounceListener, Domains
from agents.bounces.mailboxes import BounceMailboxes
from connectors.local.engines.engine import free_port
from tables.models import Route
from tests.connectors.routes.given import settings


async def test_without_routes_there_is_neither_a_listener_nor_a_mailbox() -> None:
    for here in (settings(routes="off", bounce_port=free_port()), settings(routes="off")):
        async with BounceListener(None, here), BounceMailboxes(None, here):
            pass


async def test_without_a_port_there_is_no_listener() -> None:
    async with BounceListener(None, settings()):
        pass


async def test_a_port_that_cannot_be_had_is_told_once_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    service = BounceListener(None, settings(bounce_port=taken.sockets[0].getsockname()[1]))
    assert [await service.listen() for _ in range(2)] == [False, False]
    [record] = caplog.records
    assert "no bounces are taken" in record.getMessage()
    taken.close()
    await taken.wait_closed()
    assert await service.listen()
    await service._stack.aclose()


def route(tenant: str, domain: str) -> Route:
    return Route(tenant_id=tenant, name="relay", settings={"bounces": {"domain": domain}})


def test_a_domain_is_known_with_every_tenant_that_has_set_it_up() -> None:
    domains = Domains()
    assert not domains.are_known
    domains.learn(
        [route("acme", "b.example"), route("globex", "b.example"), route("acme", "c.example")]
    )
    assert domains.are_known
    assert domains.of("b.example") == {"acme", "globex"}
    assert domains.of("c.example") == {"acme"}
    assert domains.of("d.example") == set()


def test_a_domain_that_is_gone_is_forgotten() -> None:
    domains = Domains()
    domains.learn([route("acme", "b.example")])
    domains.learn([])
    assert domains.are_known and domains.of("b.example") == set()
