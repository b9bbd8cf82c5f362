"""The role `deliver` on real Kafka and PostgreSQL, with relays on loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from confluent_kafka import Producer

from agents.delivery.worker import Deliver
from connectors.local.engines.engine import free_port
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.agents.delivery.given import (
    DOMAIN,
    Messages,
    journal,
    made,
    mail_of,
    reported,
    route,
    tenant,
    webhook,
)
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.http_service import Heard, said, service
from tests.smtp_server import relay, saying


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
