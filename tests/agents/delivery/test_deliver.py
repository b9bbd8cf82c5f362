"""The role `deliver` on real Kafka and PostgreSQL, with relays on loopback."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from uuid import UUID

import pytest
from confluent_kafka import Producer

from agents.delivery.worker import Deliver
from connectors.local.engines.engine import free_port
from streams.contracts.commands import Verb
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.audience import doubts
from tables.audience.doubts import Resolution
from tables.campaigns.campaign import get_campaign
from tables.database.connection import Database
from tests.agents.delivery.given import (
    DOMAIN,
    Messages,
    journal,
    made,
    mail_of,
    reported,
    route,
    tenant,
    told,
    webhook,
)
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.http_service import Heard, said, service
from tests.smtp_server import relay, saying
from tests.tables.campaigns.campaign_world import make_world


@pytest.fixture
def installation(settings: Settings) -> Settings:
    return made(settings)


@asynccontextmanager
async def delivering(settings: Settings) -> AsyncIterator[Deliver]:
    async with Deliver(None, settings) as service:
        yield service


def to(name: str, count: int) -> list[str]:
    return [f"{name}{number}@example.com" for number in range(count)]


async def test_built_in_messages_arrive_once_as_whole_mails_and_others_are_left_alone(
    installation: Settings,
) -> None:
    messages = Messages(installation)
    await tenant(installation, "acme")
    async with relay() as sink:
        await route(installation, "acme", sink.port)
        messages.send("acme", ["external@example.com"], is_built_in=False)
        sent = messages.send("acme", to("ana", 60))
        async with delivering(installation) as service:
            await eventually(lambda: sink.mails >= 60)
            await eventually(lambda: _is_idle(service))
        assert sorted(sink.ids()) == sorted(map(mail_of, sent))
        assert sorted(recipient for recipient, _ in sink.inbox) == sorted(to("ana", 60))
        mail = message_from_bytes(sink.inbox[0][1], policy=policy.SMTP)
        assert mail["Subject"] == "Hé" and mail["From"] == f"Acme <news@{DOMAIN}>"
        assert [part.get_content_type() for part in mail.walk()][1:] == ["text/plain", "text/html"]
        # the next worker finds nothing open, and nothing to be done again
        async with delivering(installation) as service:
            messages.send("acme", ["late@example.com"])
            await eventually(lambda: sink.mails >= 61)
            await eventually(lambda: _is_idle(service))
        assert sink.mails == 61
    assert sum(await asyncio.to_thread(journal, installation)) == 0
    assert await asyncio.to_thread(reported, installation) == []


def _is_idle(service: Deliver) -> bool:
    lanes = list(service._lanes.values())
    return bool(lanes) and not any(len(lane) or lane.on_their_way for lane in lanes)


def _on_their_way(service: Deliver) -> int:
    return sum(lane.on_their_way for lane in service._lanes.values())


async def test_answers_of_the_relay_become_events_in_words_without_addresses(
    installation: Settings,
) -> None:
    messages = Messages(installation)
    await tenant(installation, "acme")

    def answer(recipient: str) -> str:
        name = recipient.partition("@")[0]
        return {
            "gone": f"550 5.1.1 <{recipient}>: no such user",
            "blocked": "550 5.7.1 blocked, see https://list.example",
            "odd": "550 no",
        }.get(name, "250 OK")

    async with relay() as sink:
        sink.answer = answer
        await route(installation, "acme", sink.port)
        names = ("gone", "blocked", "odd", "well")
        sent = messages.send("acme", [f"{name}@example.com" for name in names])
        ids = dict(zip(names, sent, strict=True))
        async with delivering(installation) as service:
            await eventually(lambda: sink.mails == 1)
            await eventually(lambda: _is_idle(service))
    told = {event.message_id: event for event in await asyncio.to_thread(reported, installation)}
    assert set(told) == {ids["gone"], ids["blocked"], ids["odd"]}
    said = {
        name: (told[ids[name]].type, told[ids[name]].data.bounce_type, told[ids[name]].data.reason)  # type: ignore[union-attr]
        for name in ("gone", "blocked", "odd")
    }
    assert said["gone"] == ("bounced", "hard", "550 5.1.1 <<address>>: no such user")
    assert said["blocked"][:2] == ("failed", None)
    assert said["odd"][:2] == ("bounced", "soft")


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
            await eventually(lambda: _is_idle(worker))
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
            await eventually(lambda: _is_idle(worker))
    first, second = there.heard
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == only
    told = await asyncio.to_thread(reported, installation)
    assert {event.type for event in told} <= {"accepted"}


async def test_a_greylisted_message_arrives_later_also_after_a_restart(
    installation: Settings,
) -> None:
    messages, asked = Messages(installation), list[str]()
    await tenant(installation, "acme")

    def answer(recipient: str) -> str:
        asked.append(recipient)
        return "451 4.7.1 try again later" if len(asked) < 3 else "250 OK"

    async with relay() as sink:
        sink.answer = answer
        await route(installation, "acme", sink.port, limits={"connections": 1})
        messages.send("acme", ["grey@example.com"], partition=1)
        async with delivering(installation):
            await eventually(lambda: asked)
            await eventually(lambda: sum(journal(installation)) == 1)
        async with delivering(installation) as service:
            await eventually(lambda: sink.mails == 1)
            await eventually(lambda: _is_idle(service))
        assert len(asked) == 3
    assert await asyncio.to_thread(reported, installation) == []


async def test_a_dead_relay_of_one_tenant_holds_up_no_other(installation: Settings) -> None:
    messages = Messages(installation)
    for name in ("acme", "bookshop", "clinic"):
        await tenant(installation, name)
    async with relay() as sink, saying(ends=False) as silent:
        await route(installation, "acme", free_port())  # nothing listens there
        await route(installation, "clinic", silent)  # takes connections, and says nothing
        await route(installation, "bookshop", sink.port)
        for name in ("acme", "clinic"):  # more than are kept in memory
            messages.send(name, to(name, 400), partition=0)
        messages.send("bookshop", to("ben", 50), partition=0)
        async with delivering(installation):
            await eventually(lambda: sink.mails == 50, within=60)
            # the relay is mended: what has waited goes
            await route(installation, "acme", sink.port)
            await eventually(lambda: sink.mails == 450, within=120)
        assert len(set(sink.ids())) == 450
    assert await asyncio.to_thread(journal, installation) == [400, 0, 0, 0]


async def test_a_paused_route_and_one_that_is_not_there_keep_messages_waiting(
    installation: Settings,
) -> None:
    messages = Messages(installation)
    await tenant(installation, "acme")
    async with relay() as sink:
        messages.send("acme", ["ana@example.com"])
        messages.send("acme", ["other@example.com"], sender="news@other.example")
        messages.send("acme", ["old@example.com"], sender="x@old.example", age=timedelta(days=1))
        async with delivering(installation):
            await eventually(lambda: [each.type for each in reported(installation)] == ["failed"])
            await route(installation, "acme", sink.port)
            await eventually(lambda: sink.mails == 1)
    assert [recipient for recipient, _ in sink.inbox] == ["ana@example.com"]
    assert sum(await asyncio.to_thread(journal, installation)) == 1


async def test_a_pause_holds_what_was_not_handed_over_and_a_cancel_settles_it(
    installation: Settings,
) -> None:
    async with Database(installation) as database, relay() as sink:
        acme = await make_world(database, installation)
        campaign = await acme.started()
        async with database.transaction() as session:
            number = (await get_campaign(session, "acme", campaign)).number
        limits = {"connections": 2, "perSecond": 30}
        await route(installation, "acme", sink.port, limits=limits)
        sent = Messages(installation).send("acme", to("ana", 400), number=number)
        async with delivering(installation) as service:
            await eventually(lambda: sink.mails > 20)
            await acme.do(Verb.PAUSE, campaign)
            await eventually(lambda: service._campaigns.is_paused(number))
            await eventually(lambda: not _on_their_way(service))
            arrived = sink.mails
            await asyncio.sleep(1)  # in which 30 others would have gone
            assert sink.mails == arrived < 400
            await acme.do(Verb.RESUME, campaign)
            await eventually(lambda: sink.mails > arrived)
            await acme.do(Verb.CANCEL, campaign)
            await eventually(lambda: _is_idle(service))
        ended = [
            event
            for event in await asyncio.to_thread(reported, installation)
            if event.type == "failed"
        ]
        assert sink.mails + len(ended) == len(sent)
        assert {event.data.reason for event in ended} == {"cancelled: not handed over before"}  # type: ignore[union-attr]
    settled = await asyncio.to_thread(told, installation)
    assert {(record.tenant_id, record.number) for record in settled} == {("acme", number)}
    assert sum(record.settled for record in settled) == len(sent)


async def test_the_throttle_is_told_what_was_put_off_and_that_a_route_is_down(
    installation: Settings,
) -> None:
    messages, asked = Messages(installation), Counter[str]()
    await tenant(installation, "acme")

    def answer(recipient: str) -> str:
        asked[recipient] += 1
        return "451 4.7.1 try again later" if asked[recipient] < 3 else "250 OK"

    async with relay() as sink:
        sink.answer = answer
        port, nobody = sink.port, free_port()
        await route(installation, "acme", nobody)
        messages.send("acme", to("grey", 5), partition=1)
        async with delivering(installation) as service:
            await eventually(
                lambda: any(each.reason == "route-down" for each in told(installation))
            )
            await route(installation, "acme", port)
            await eventually(lambda: sink.mails == 5)
            await eventually(lambda: _is_idle(service))
    settled = await asyncio.to_thread(told, installation)
    assert sum(record.settled for record in settled) == 5
    assert sum(record.deferred for record in settled) == 0
    assert sum(max(0, record.deferred) for record in settled) == 10
    assert settled[-1].reason is None


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
            await eventually(lambda: _is_idle(service))
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
            await eventually(lambda: _is_idle(service))
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
            await eventually(lambda: _is_idle(service))
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
            await eventually(lambda: _is_idle(service))
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


async def test_credentials_that_are_refused_are_one_error_in_the_log_and_lose_nothing(
    installation: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    messages = Messages(installation)
    await tenant(installation, "acme")
    async with relay() as sink:
        sink.answer = lambda recipient: "535 5.7.8 bad credentials"
        await route(installation, "acme", sink.port)
        messages.send("acme", to("ana", 40))
        with caplog.at_level(logging.ERROR):
            async with delivering(installation):
                await eventually(lambda: "put right" in caplog.text)
                sink.answer = lambda recipient: "250 OK"
                await eventually(lambda: sink.mails == 40)
    errors = [record for record in caplog.records if "put right" in record.message]
    assert len(errors) == 1 and "@example" not in caplog.text


async def test_a_planned_stop_waits_for_what_was_handed_over_and_the_next_repeats_nothing(
    installation: Settings,
) -> None:
    messages, held = Messages(installation), asyncio.Event()
    await tenant(installation, "acme")

    async def answers(recipient: str) -> str:
        await held.wait()
        return "250 OK"

    async with relay() as sink:
        sink.answers = answers
        await route(installation, "acme", sink.port, limits={"connections": 3})
        sent = messages.send("acme", to("ana", 100))
        async with delivering(installation) as service:
            await eventually(lambda: sink.mails == 3)
            asyncio.get_running_loop().call_later(0.5, held.set)
            stopped_at = sink.mails
            assert not _is_idle(service)
        assert stopped_at <= sink.mails < 100
        async with delivering(installation):
            await eventually(lambda: sink.mails >= 100)
        assert sorted(sink.ids()) == sorted(map(mail_of, sent))


async def test_partitions_that_move_to_another_worker_repeat_nothing(
    installation: Settings,
) -> None:
    messages = Messages(installation)
    await tenant(installation, "acme")
    async with relay() as sink:
        await route(installation, "acme", sink.port, limits={"connections": 2, "perSecond": 150})
        sent = messages.send("acme", to("ana", 300))
        async with delivering(installation):
            await eventually(lambda: sink.mails > 20)
            async with delivering(installation) as second:
                await eventually(lambda: len(second._lanes) == 2)
                await eventually(lambda: sink.mails >= 300)
        assert sorted(sink.ids()) == sorted(map(mail_of, sent))


async def test_a_message_that_cannot_be_read_is_a_dead_letter(installation: Settings) -> None:
    await tenant(installation, "acme")
    producer = Producer({"bootstrap.servers": installation.kafka})
    topic = Topics(installation).name(Name.MESSAGES)
    producer.produce(topic, b"{", partition=0, headers=[("delivery", b"builtin")])
    producer.flush(30)
    letters = Topics(installation).name(Name.DEAD_LETTERS)
    async with relay() as sink, delivering(installation):
        await route(installation, "acme", sink.port)
        Messages(installation).send("acme", ["ana@example.com"], partition=0)
        await eventually(lambda: sink.mails == 1)
        await eventually(lambda: raw_kafka.count_all(installation.kafka, letters, 1) == 1)
