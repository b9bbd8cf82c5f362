"""A route as a worker uses it, with a relay on loopback."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from agents.delivery.outlets.outlet import Outlet
from agents.delivery.outlets.sessions import Sessions, _Place
from connectors.delivery.classification import Verdict
from connectors.local.engines.engine import free_port
from streams.records.messages import Message
from tables.tenants.routes import Credentials
from tests.connectors.routes.given import DOMAIN, route, settings
from tests.eventually import eventually
from tests.smtp_server import PASSWORD, USER, relay, saying


def outlet(port: int, credentials: Credentials | None = None, **changes: Any) -> Outlet:
    mode = changes.pop("routes", "any")
    wanted = route(port=port, **changes)
    now = datetime.now(UTC)
    return Outlet(settings(routes=mode), "acme/relay", wanted, credentials, now)


def message(number: int) -> Message:
    return Message(
        message_id=f"00000000-0001-8000-8000-{number:012x}",
        tenant_id="acme",
        campaign_id="0190a000-0000-7000-8000-000000000001",
        contact_id="0190a000-0000-7000-8000-000000000002",
        recipient_number=number,
        channel="email",
        to=f"ana{number}@example.com",
        content={"subject": "Hello", "text": "Hello"},
        created_at="2026-11-01T12:00:00.000Z",
        sender={"email": f"news@{DOMAIN}"},
    )


def _places(to: Outlet) -> list[_Place]:
    assert isinstance(to._transport, Sessions)
    return to._transport._places


def _nothing() -> None:
    """Stands for a lane that is not waiting."""


async def gives(to: Outlet, count: int = 1) -> list[Verdict]:
    """The verdicts on as many messages, handed over at once."""
    for _ in range(count):
        to.take()
    handing = (to.hand_off(message(number), lambda: True) for number in range(count))
    answers = await asyncio.gather(*handing)
    to.landed(count)
    return [answer.verdict for answer in answers]


async def test_a_session_ends_after_as_many_messages_as_the_route_says() -> None:
    async with relay() as sink:
        to = outlet(sink.port, limits={"connections": 1, "messagesPerConnection": 5})
        for _ in range(6):
            assert await gives(to, 2) == [Verdict.ACCEPTED] * 2
        await to.close()
    assert (sink.mails, sink.connections) == (12, 3)


async def test_no_more_connections_are_opened_than_the_route_allows() -> None:
    async with relay() as sink:
        to = outlet(sink.port, limits={"connections": 3})
        assert to.room(_nothing) == 6
        assert await gives(to, 6) == [Verdict.ACCEPTED] * 6
        await to.close()
    assert sink.connections == 3


async def test_the_worker_logs_in_and_a_refused_login_stops_the_route() -> None:
    async with relay() as sink:
        to = outlet(sink.port, Credentials(USER, PASSWORD))
        assert await gives(to) == [Verdict.ACCEPTED]
        await to.close()
        wrong = outlet(sink.port, Credentials(USER, "wrong"))
        assert await gives(wrong) == [Verdict.CONFIGURATION]
        assert wrong.room(_nothing) == 0
        await wrong.close()
    assert sink.logins[-1] == (USER, "wrong") and sink.mails == 1


async def test_nothing_is_handed_over_by_a_worker_that_may_have_lost_its_partition() -> None:
    async with relay() as sink:
        to = outlet(sink.port)
        to.take()
        assert (await to.hand_off(message(1), lambda: False)).verdict is Verdict.ROUTE
        to.landed(1)
        assert sink.mails == 0 and to.room(_nothing) == 16  # the route is as well as before
        await to.close()


async def test_where_only_public_relays_are_allowed_no_other_is_connected_to() -> None:
    async with relay() as sink:
        to = outlet(sink.port, routes="public")
        assert await gives(to) == [Verdict.ROUTE]
        await to.close()
    assert sink.connections == 0


async def test_a_server_that_closed_an_old_session_is_asked_again_at_once() -> None:
    async with relay() as sink:
        to = outlet(sink.port, limits={"connections": 1})
        assert await gives(to) == [Verdict.ACCEPTED]
        to.rest()  # not idle for long enough
        place = _places(to)[0]
        assert place.session is not None
        place.session.abort()
        assert await gives(to) == [Verdict.ACCEPTED]
        await to.close()
    assert sink.connections == 2


async def test_cut_connections_answer_for_what_is_on_its_way() -> None:
    async with saying(ends=False) as silent:
        to = outlet(silent)
        handing = asyncio.create_task(gives(to, 4))
        await eventually(lambda: _places(to)[0].on_their_way)
        to.cut()
        assert await handing == [Verdict.ROUTE] * 4
        await to.close()


async def test_a_relay_that_is_away_rests_and_says_when_it_may_be_asked() -> None:
    to, woken = outlet(free_port()), list[int]()
    assert await gives(to, 8) == [Verdict.ROUTE] * 8
    assert to.room(lambda: woken.append(1)) == 0
    assert await gives(to) == [Verdict.ROUTE]
    assert woken == [1]


async def test_bounces_go_to_an_address_that_names_the_message() -> None:
    async with relay() as sink:
        to = outlet(sink.port, bounces={"domain": "bounce.acme.example"})
        assert await gives(to) == [Verdict.ACCEPTED]
        await to.close()
    assert sink.senders == [f"b.{message(0).message_id}@bounce.acme.example"]
