"""The main job, end to end on the real engines, with kill -9 of every worker: nobody is lost,
nobody is repeated, every count is exact.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.topics import Name
from tests.e2e import world
from tests.e2e.checker import (
    assert_each_recipient_once,
    committed,
    counts_never_fall,
    most_in_any_window,
    published_on_nats,
    sent_messages,
)
from tests.e2e.conftest import Running
from tests.e2e.processes import WORKERS
from tests.e2e.truth import Truth
from tests.eventually import eventually
from tests.faults.raw_batches import send
from tests.faults.test_hostile_batches import STORED

SEED = 20260128
GLOBEX_HOURLY = 400
SENDER = {
    "fromName": "Acme",
    "fromEmail": "news@acme.example",
    "trackOpens": True,
    "trackClicks": True,
}


async def _kill_workers(
    running: Running, dice: random.Random, names: list[str], rounds: int
) -> None:
    for _ in range(rounds):
        for name in dice.sample(names, len(names)):
            await asyncio.sleep(
                dice.uniform(0.5, 3.0)
            )  # a random moment is the fault itself, nothing is waited for
            running.processes.kill(name)


@pytest.mark.timeout(1800)
async def test_three_campaigns_of_two_tenants_survive_kill_9_of_every_worker(
    running: Running,
) -> None:
    logging.getLogger(__name__).info("seed %d", SEED)
    dice, connection = random.Random(SEED), await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    globex = await world.tenant(connection, "globex", hourly=GLOBEX_HOURLY)
    await world.people(connection, acme, "many", 12_000)
    await world.people(connection, acme, "some", 6_000)
    await world.people(connection, globex, "few", 2_000)
    rest, other = world.Rest(running.url, acme.key), world.Rest(running.url, globex.key)
    email, sms = (
        await world.template(connection, acme),
        await world.template(connection, acme, "sms"),
    )
    slowly = {
        "messagesPerHour": 2_000
    }  # per six seconds: the kills must meet campaigns that are being sent
    campaigns = {
        await rest.started(
            email, [acme.segments["many"]], settings=SENDER, throttleConfig=slowly
        ): acme.people["many"],
        await rest.started(
            sms, [acme.segments["some"]], channel="sms", throttleConfig={"messagesPerHour": 1_000}
        ): acme.people["some"],
        await other.started(
            await world.template(connection, globex), [globex.segments["few"]], settings=SENDER
        ): globex.people["few"],
    }
    owner = dict(zip(campaigns, (rest, rest, other), strict=True))
    watched = [
        asyncio.create_task(counts_never_fall(owner[campaign], campaign)) for campaign in campaigns
    ]

    await _kill_workers(running, dice, list(WORKERS), rounds=3)

    async def all_completed() -> bool:
        statuses = {
            (await owner[campaign]("GET", f"/campaigns/{campaign}"))["status"]
            for campaign in campaigns
        }
        return statuses == {"completed"}

    await eventually(all_completed, within=300)
    await _kill_workers(running, dice, ["stats", "bridge", "stats", "control"], rounds=1)

    messages = sent_messages(running.settings)
    assert_each_recipient_once(messages, campaigns)
    for campaign, hourly in zip(campaigns, (2_000, 1_000, GLOBEX_HOURLY), strict=True):
        theirs = [message for message in messages if message.campaign_id == campaign]
        assert most_in_any_window(theirs, timedelta(seconds=6)) <= hourly

    for campaign, audience in campaigns.items():

        async def exact(campaign: str = campaign, size: int = len(audience)) -> bool:
            stats = await owner[campaign]("GET", f"/campaigns/{campaign}/stats")
            expected = {
                "totalRecipients": size,
                "sentCount": size,
                "skippedCount": 0,
                **Truth.of(running.truth, campaign).stats(),
            }
            assert {name: stats[name] for name in expected} == expected
            return True

        await eventually(exact, within=300)
    for task in watched:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    for campaign in campaigns:
        truth = Truth.of(running.truth, campaign)
        ids = {
            message.ordinal: message.message_id
            for message in messages
            if message.campaign_id == campaign
        }

        async def rows_agree(
            campaign: str = campaign, truth: Truth = truth, ids: dict[int, str] = ids
        ) -> bool:
            rows = await connection.fetch(
                "SELECT * FROM campaign_recipients WHERE campaign_id = $1 ORDER BY id", campaign
            )
            assert [str(row["message_id"]) for row in rows] == [
                ids[ordinal] for ordinal in range(len(ids))
            ]
            assert Counter(row["status"] for row in rows) == Counter(
                truth.status(message_id) for message_id in ids.values()
            )
            assert all(
                row["status"] == truth.status(str(row["message_id"])) and row["sent_at"]
                for row in rows
            )
            return True

        await eventually(rows_agree, within=300)

    async def nats_saw_every_first_once() -> bool:
        seen = await published_on_nats(running.settings)
        for subject in ("sent", "delivered", "opened", "clicked", "bounced"):
            found = Counter(
                (event["data"]["messageId"], event["data"].get("isMachine", False))
                for event in seen[f"campaign.message.{subject}"]
            )
            assert set(found.values()) <= {1}, f"{subject}: repeated"
            expected: set[tuple[str, bool]] = set()
            for campaign in campaigns:
                truth = Truth.of(running.truth, campaign)
                expected |= {(message_id, False) for message_id in truth(subject)} | {
                    (m, True) for m in truth(f"machine-{subject}")
                }
            if subject == "sent":
                expected = {(message.message_id, False) for message in messages}
            assert set(found) == expected, (
                f"{subject}: {len(expected - set(found))} missing,"
                f" {len(set(found) - expected)} too many"
            )
        for subject in ("campaign.created", "campaign.started", "campaign.completed"):
            assert sorted(event["data"]["campaignId"] for event in seen[subject]) == sorted(
                campaigns
            )
        assert all(
            event["data"]["totalRecipients"] == len(campaigns[event["data"]["campaignId"]])
            for event in seen["campaign.started"]
        )
        return True

    await eventually(nats_saw_every_first_once, within=300)
    await rest.close()
    await other.close()
    await connection.close()


async def test_a_paused_campaign_sends_nothing_and_a_resumed_one_loses_and_repeats_nobody(
    running: Running,
) -> None:
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    await world.people(connection, acme, "all", 3_000)
    rest = world.Rest(running.url, acme.key)
    campaign = await rest.started(
        await world.template(connection, acme),
        [acme.segments["all"]],
        settings=SENDER,
        throttleConfig={"messagesPerHour": 600},
    )

    async def sent() -> int:
        return int((await rest("GET", f"/campaigns/{campaign}/stats"))["sentCount"])

    await eventually(lambda: _at_least(sent, 500), within=300)
    paused = await rest("POST", f"/campaigns/{campaign}/pause")
    assert paused["status"] == "paused"
    before = len(sent_messages(running.settings))

    async def nothing_is_in_flight() -> bool:
        return bool((await rest("GET", f"/campaigns/{campaign}"))["progress"]["inFlight"] == 0)

    await eventually(nothing_is_in_flight, within=300)
    settled = len(sent_messages(running.settings))
    assert settled - before <= paused["inFlight"] + 600 / 6
    # a whole "hour": the quota is free again, so only the pause holds it back
    await asyncio.sleep(6)
    assert len(sent_messages(running.settings)) == settled
    assert (await rest("GET", f"/campaigns/{campaign}"))["waiting"]["reason"] == "paused"

    assert (await rest("POST", f"/campaigns/{campaign}/resume"))["status"] == "running"

    async def completed() -> bool:
        return bool((await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed")

    await eventually(completed, within=300)
    assert_each_recipient_once(sent_messages(running.settings), {campaign: acme.people["all"]})
    await rest.close()
    await connection.close()


async def _at_least(count: Any, wanted: int) -> bool:
    return bool(await count() >= wanted)


GARBAGE = (
    b"",
    b"\x00\xff\xfe not json",
    b"{",
    b"[" * 10_000,
    b'{"type": "no-such-type"}',
    b'{"type":"batch-sent","tenantId":7,"number":"x"}',
    b'{"version":"1.0","type":"campaign.start","tenantId":"../etc","correlationId":"","data":[]}',
    b'{"type":"delivered","messageId":"00000000-0001-8000-8000-000000000000","tenantId":"acme","timestamp":"2026-01-28T09:00:00Z"}',
)
SOURCES = (
    Name.COMMANDS,
    Name.EXPANSIONS,
    Name.SENDING,
    Name.GRANTS,
    Name.MILESTONES,
    Name.INCOMING,
    Name.FACTS,
    Name.EVENTS,
    Name.MESSAGE_EVENTS,
)


async def test_garbage_on_every_topic_becomes_a_dead_letter_and_the_stream_goes_on(
    running: Running,
) -> None:
    """From a producer library, and from a client that writes batches byte by byte; those also into
    the topics of state, where they are left out.
    """
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    await world.people(connection, acme, "all", 500)
    producer = Producer({"bootstrap.servers": running.settings.kafka})
    for source in SOURCES:
        for value in GARBAGE:
            for partition in range(running.settings.partitions):
                producer.produce(running.settings.topic_prefix + source, value, partition=partition)
    assert producer.flush(30) == 0
    read_on = (*SOURCES, Name.STATS, *(name for name in Name if name.endswith("-state")))
    for topic in read_on:
        for partition in range(running.settings.partitions):
            for raw, _ in STORED.values():
                send(running.settings.kafka, running.settings.topic_prefix + topic, partition, raw)

    rest = world.Rest(running.url, acme.key)
    campaign = await rest.started(
        await world.template(connection, acme), [acme.segments["all"]], settings=SENDER
    )

    async def counted() -> bool:
        stats = await rest("GET", f"/campaigns/{campaign}/stats")
        return bool(stats["sentCount"] == 500 and stats["deliveredCount"] > 400)

    await eventually(counted, within=300)
    assert_each_recipient_once(sent_messages(running.settings), {campaign: acme.people["all"]})

    def every_source_has_its_dead_letters() -> bool:
        letters = {
            record.key(): json.loads(record.value())
            for record in committed(running.settings, "campaigns.dead-letters.v1", 1)
        }
        found = Counter(
            letter["source"]["topic"].removeprefix(running.settings.topic_prefix)
            for letter in letters.values()
        )
        assert all(letter["reason"] and letter["code"] for letter in letters.values())
        assert set(found) == set(SOURCES), found
        hostile = sum(sum(letters.values()) for _, letters in STORED.values())
        each = len(GARBAGE) + hostile
        assert found[Name.INCOMING] == each * running.settings.partitions
        return True

    await eventually(every_source_has_its_dead_letters, within=300)
    assert all(process.restarts == 0 for process in running.processes.processes.values())
    await rest.close()
    await connection.close()
