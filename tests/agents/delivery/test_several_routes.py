"""Several routes, providers, limits and doubts, on real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

from agents.delivery.worker import Deliver
from connectors.local.engines.engine import free_port
from streams.settings import Settings
from tables.audience import doubts
from tables.audience.doubts import Resolution
from tables.campaigns.campaign import get_campaign
from tables.database.connection import Database
from tests.agents.delivery.given import (
    Messages,
    delivering,
    is_idle,
    journal,
    mail_of,
    reported,
    route,
    tenant,
    to,
    told,
    webhook,
)
from tests.eventually import eventually
from tests.http_service import Heard, said, service
from tests.smtp_server import relay
from tests.tables.campaigns.campaign_world import make_world


async def test_a_limit_per_hour_holds_at_the_sink_for_all_workers_and_through_a_restart(
    installation: Settings,
) -> None:
    per_hour, arrivals = 20, list[float]()
    messages = Messages(installation)
    await tenant(installation, "acme")

    async def answers(recipient: str) -> str:
        arrivals.append(time.monotonic())
        return "250 OK"

    async with relay() as sink:
        sink.answers = answers
        await route(installation, "acme", sink.port, limits={"perHour": per_hour})
        sent = messages.send("acme", to("ana", 3 * per_hour))
        async with delivering(installation):
            async with delivering(installation):
                await eventually(lambda: len(arrivals) >= per_hour)
            await eventually(lambda: "route-limit" in {each.reason for each in told(installation)})
        async with delivering(installation) as service:
            await eventually(lambda: sink.mails >= len(sent))
            await eventually(lambda: is_idle(service))
        assert sorted(sink.ids()) == sorted(map(mail_of, sent))
    hour = installation.hour.total_seconds()
    for first in arrivals:
        assert sum(first <= at < first + hour for at in arrivals) <= per_hour


async def test_the_second_route_takes_over_from_a_dead_one_and_gives_back(
    installation: Settings,
) -> None:
    messages = Messages(installation)
    await tenant(installation, "acme")
    async with relay() as first, relay() as second:
        await route(installation, "acme", free_port(), "first", priority=1)
        await route(installation, "acme", second.port, "second", priority=2)
        sent = messages.send("acme", to("ana", 100))
        async with delivering(installation) as service:
            await eventually(lambda: second.mails == 100)
            await route(installation, "acme", first.port, "first", priority=1)
            await eventually(lambda: _is_there(service, "first", first.port))
            sent += messages.send("acme", to("ben", 50))
            await eventually(lambda: first.mails == 50)
            await eventually(lambda: is_idle(service))
        assert sorted([*first.ids(), *second.ids()]) == sorted(map(mail_of, sent))


def _is_there(service: Deliver, name: str, port: int) -> bool:
    return service._routes._outlets["acme"][name].route.server[1] == port


async def test_a_message_in_doubt_goes_to_no_other_route(installation: Settings) -> None:
    messages, seen = Messages(installation), Counter[str]()
    await tenant(installation, "acme")

    def resets(recipient: str) -> bool:
        seen[recipient] += 1
        return recipient.startswith("odd") and seen[recipient] == 1

    async with relay() as first, relay() as second:
        first.resets = resets
        await route(installation, "acme", first.port, "first", limits={"connections": 1})
        await route(installation, "acme", second.port, "second", priority=9)
        messages.send("acme", [*to("ana", 20), *to("odd", 3), *to("ben", 20)], partition=2)
        async with delivering(installation) as service:
            await eventually(lambda: first.mails + second.mails >= 46)
            await eventually(lambda: is_idle(service))
        arrived = Counter(recipient for recipient, _ in [*first.inbox, *second.inbox])
        elsewhere = {recipient for recipient, _ in second.inbox}
    assert arrived == Counter(to("ana", 20) + to("ben", 20)) + Counter(2 * to("odd", 3))
    assert not elsewhere & set(to("odd", 3))


async def test_what_is_held_waits_for_a_person_also_through_a_restart(
    installation: Settings,
) -> None:
    messages, seen = Messages(installation), Counter[str]()

    def resets(recipient: str) -> bool:
        seen[recipient] += 1
        return recipient.startswith("odd") and seen[recipient] == 1

    async with Database(installation) as database, relay() as sink:
        acme = await make_world(database, installation)
        campaign = await acme.created()
        sink.resets = resets
        await route(installation, "acme", sink.port, onDoubt="hold", limits={"connections": 1})
        sent = messages.send(
            "acme", [*to("ana", 5), "odd1@example.com", "odd2@example.com"], campaign_id=campaign
        )
        again, never = sent[-2:]

        async def held() -> set[str]:
            async with database.transaction() as session:
                found = await get_campaign(session, "acme", campaign)
                rows, _ = await doubts.list_doubts(session, found, is_held=True, limit=9, offset=0)
                return {str(row.message_id) for row in rows}

        async def decide(message: str, resolution: Resolution) -> None:
            async with database.transaction() as session:
                found = await get_campaign(session, "acme", campaign)
                ids = [UUID(message)]
                assert await doubts.resolve(session, found, resolution, ids) == 1

        async with delivering(installation):
            await eventually(held_both := _are(held, {again, never}))
        async with delivering(installation) as service:
            await eventually(lambda: len(service._held()) == 2)
            await eventually(held_both)
            await decide(again, Resolution.RESEND)
            await eventually(lambda: seen["odd1@example.com"] == 2)
            await decide(never, Resolution.DROP)
            await eventually(lambda: is_idle(service))
        assert seen["odd2@example.com"] == 1
    ended = [
        (event.message_id, event.data.reason)  # type: ignore[union-attr]
        for event in await asyncio.to_thread(reported, installation)
        if event.type == "failed"
    ]
    reason = "in doubt: handed over and never answered (nobody knows whether it arrived)"
    assert ended == [(never, reason)]
    assert sum(await asyncio.to_thread(journal, installation)) == 0


def _are(
    found: Callable[[], Awaitable[set[str]]], expected: set[str]
) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        assert await found() == expected
        return True

    return is_so


async def test_a_webhook_takes_batches_and_what_it_says_of_each_message_is_reported(
    installation: Settings,
) -> None:
    messages, taken = Messages(installation), list[str]()
    await tenant(installation, "acme")

    def says(heard: Heard) -> bytes:
        ids = [one["messageId"] for one in heard.json["data"]]
        taken.extend(ids)
        results = [
            {"messageId": one, "status": "bounced" if one == sent[7] else "accepted"} for one in ids
        ]
        return said(200, {"results": results})

    async with service(says) as there:
        await webhook(installation, "acme", there.url, batch=50)
        sent = messages.send("acme", to("ana", 120))
        async with delivering(installation) as worker:
            await eventually(lambda: len(taken) >= 120)
            await eventually(lambda: is_idle(worker))
        assert sorted(taken) == sorted(sent) and len(there.heard) < 120
    told = {event.message_id: event for event in await asyncio.to_thread(reported, installation)}
    assert told[sent[7]].type == "bounced"
    assert [one for one, event in told.items() if event.type != "accepted"] == [sent[7]]
    assert sum(await asyncio.to_thread(journal, installation)) == 0


async def test_a_provider_that_knows_a_repeat_gets_the_same_bytes_again_after_a_reset(
    installation: Settings,
) -> None:
    messages = Messages(installation)
    await tenant(installation, "acme")

    async def resets(heard: Heard, writer: asyncio.StreamWriter) -> None:
        there.behaves = None
        writer.transport.abort()

    async with service() as there:
        there.behaves = resets
        await webhook(installation, "acme", there.url, onDoubt="drop")
        [only] = messages.send("acme", ["ana@example.com"])
        async with delivering(installation) as worker:
            await eventually(lambda: len(there.heard) == 2)
            await eventually(lambda: is_idle(worker))
    first, second = there.heard
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == only
    told = await asyncio.to_thread(reported, installation)
    assert {event.type for event in told} <= {"accepted"}
