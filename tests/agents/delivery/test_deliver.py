"""The role `deliver` on real Kafka and PostgreSQL, with relays on loopback."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from confluent_kafka import Producer

from connectors.local.engines.engine import free_port
from streams.contracts.commands import Verb
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.campaigns.campaign import get_campaign
from tables.database.connection import Database
from tests.agents.delivery.given import (
    DOMAIN,
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
)
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.smtp_server import Relay, relay, saying
from tests.tables.campaigns.campaign_world import make_world


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
            await eventually(lambda: is_idle(service))
        assert sorted(sink.ids()) == sorted(map(mail_of, sent))
        assert sorted(recipient for recipient, _ in sink.inbox) == sorted(to("ana", 60))
        mail = message_from_bytes(sink.inbox[0][1], policy=policy.SMTP)
        assert mail["Subject"] == "Hé" and mail["From"] == f"Acme <news@{DOMAIN}>"
        assert [part.get_content_type() for part in mail.walk()][1:] == ["text/plain", "text/html"]
        # the next worker finds nothing open, and nothing to be done again
        async with delivering(installation) as service:
            messages.send("acme", ["late@example.com"])
            await eventually(lambda: sink.mails >= 61)
            await eventually(lambda: is_idle(service))
        assert sink.mails == 61
    assert sum(await asyncio.to_thread(journal, installation)) == 0
    events = await asyncio.to_thread(reported, installation)
    assert Counter(event.type for event in events) == {"accepted": 61}


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
            await eventually(lambda: is_idle(service))
    told = {event.message_id: event for event in await asyncio.to_thread(reported, installation)}
    assert set(told) == set(ids.values()) and told[ids["well"]].type == "accepted"
    said = {
        name: (told[ids[name]].type, told[ids[name]].data.bounce_type, told[ids[name]].data.reason)  # type: ignore[union-attr]
        for name in ("gone", "blocked", "odd")
    }
    assert said["gone"] == ("bounced", "hard", "550 5.1.1 <<address>>: no such user")
    assert said["blocked"][:2] == ("failed", None)
    assert said["odd"][:2] == ("bounced", "soft")


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
            await eventually(lambda: is_idle(service))
        assert len(asked) == 3
    events = await asyncio.to_thread(reported, installation)
    assert [event.type for event in events] == ["accepted"]


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
            arrived = await eventually(lambda: _when_it_stands_still(sink))
            assert arrived < 400
            await acme.do(Verb.RESUME, campaign)
            await eventually(lambda: sink.mails > arrived)
            await acme.do(Verb.CANCEL, campaign)
            await eventually(lambda: is_idle(service))
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


async def _when_it_stands_still(sink: Relay) -> int:
    """How many mails there are, once none has come for a second, in which 30 would have."""
    before = sink.mails
    await asyncio.sleep(1)
    assert sink.mails == before
    return before


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
            await eventually(lambda: is_idle(service))
    settled = await asyncio.to_thread(told, installation)
    assert sum(record.settled for record in settled) == 5
    assert sum(record.deferred for record in settled) == 0
    assert sum(max(0, record.deferred) for record in settled) == 10
    assert settled[-1].reason is None


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
            assert not is_idle(service)
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
