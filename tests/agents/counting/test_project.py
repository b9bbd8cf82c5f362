"""The projection of facts into recipient rows: its law on the statement itself, and what faults
cannot change.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from agents.counting.project import Project
from streams.records.facts import Batch, Group, Kind, pack
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.audience.projection import merge
from tables.audience.recipient_updates import RecipientUpdates
from tables.campaigns.numbers import CampaignNumbers
from tables.database.connection import Database
from tests.agents.counting.recipient_rows import BASE, TENANT, group, make_recipients, send_facts
from tests.environment import environment
from tests.eventually import eventually
from tests.postgres import Client, Row
from tests.postgres import connect as connect_client

_ROWS = "SELECT * FROM campaign_recipients WHERE campaign_id = $1 ORDER BY id"
_COUNT = "SELECT count(*) FROM campaign_recipients WHERE campaign_id = $1 AND status = 'sent'"
_PRECEDENCE = ["pending", "sent", "delivered", "bounced", "failed", "opened", "clicked"]


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Client]:
    connection = await connect_client(settings.postgres)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all") as made:
        yield made


def instant(second: int) -> datetime:
    return datetime.fromtimestamp(BASE + second, UTC)


def expected(facts: list[tuple[Kind, int, int, str]], ordinal: int) -> dict[str, Any]:
    """The row of one recipient, computed the slow way from (kind, ordinal, second, detail)."""
    mine = [fact for fact in facts if fact[1] == ordinal]

    def first(*kinds: Kind) -> datetime | None:
        times = [second for kind, _, second, _ in mine if kind in kinds]
        return instant(min(times)) if times else None

    reached = {
        Kind.SENT: "sent",
        Kind.DELIVERED: "delivered",
        Kind.OPENED: "opened",
        Kind.CLICKED: "clicked",
        Kind.BOUNCED: "bounced",
        Kind.FAILED: "failed",
        Kind.SKIPPED: "failed",
        Kind.MACHINE_OPENED: "delivered",
        Kind.MACHINE_CLICKED: "delivered",
    }
    failures = [
        (second, ("skipped:" if kind is Kind.SKIPPED else "") + detail.removeprefix(":"))
        for kind, _, second, detail in mine
        if kind in (Kind.BOUNCED, Kind.FAILED, Kind.SKIPPED)
    ]
    return {
        "status": max(
            ["pending", *(reached[kind] for kind, *_ in mine if kind in reached)],
            key=_PRECEDENCE.index,
        ),
        "sent_at": first(Kind.SENT),
        "delivered_at": first(Kind.DELIVERED),
        "opened_at": first(Kind.OPENED),
        "clicked_at": first(Kind.CLICKED),
        "failed_at": first(Kind.BOUNCED, Kind.FAILED, Kind.SKIPPED),
        "failure_reason": min(failures)[1] if failures else None,
        "unsubscribed_at": first(Kind.UNSUBSCRIBED),
        "complained_at": first(Kind.COMPLAINED),
        "accepted_at": first(Kind.ACCEPTED),
    }


@pytest.mark.parametrize("seed", range(6))
async def test_duplicates_disorder_and_splits_cannot_change_a_row(
    settings: Settings, seed: int
) -> None:
    rnd = random.Random(seed)
    count = 40
    facts = [
        (
            rnd.choice(list(Kind)),
            rnd.randrange(count),
            rnd.randrange(9),
            rnd.choice(["hard:no such user", ":550 5.1.1", "quota"]),
        )
        for _ in range(200)
    ]
    number, campaign = await make_recipients(settings, count)
    repeated = facts + rnd.choices(facts, k=150)
    rnd.shuffle(repeated)
    async with database(settings) as connection:
        numbers = CampaignNumbers()
        async with Database(settings) as opened, opened.transaction() as session:
            await numbers.load(session, [number])
        known = numbers.get(number)
        assert known is not None
        while repeated:
            updates = RecipientUpdates(MessageIds.of(settings))
            size = rnd.randint(1, 120)
            for kind, ordinal, second, detail in repeated[:size]:
                updates.add(
                    Batch(TENANT, number, 0, BASE, (group(kind, [ordinal], second, detail),)), known
                )
            del repeated[:size]
            async with Database(settings) as opened, opened.transaction() as session:
                await merge(session, updates, "test", "facts", {0: size})
        rows = await connection.fetch(_ROWS, campaign)
    for ordinal, row in enumerate(rows):
        wanted = expected(facts, ordinal)
        assert {name: row[name] for name in wanted} == wanted
        assert (row["message_id"] is not None) == (row["sent_at"] is not None)


async def test_facts_become_rows_with_the_message_id_and_a_reason_for_every_failure(
    settings: Settings,
) -> None:
    number, campaign = await make_recipients(settings, 70_000)
    async with (
        producer(settings) as kafka,
        Project(None, settings),
        database(settings) as connection,
    ):
        await send_facts(
            kafka,
            settings,
            number,
            0,
            [group(Kind.SENT, range(10), 1), group(Kind.SKIPPED, [10], 1, "suppressed")],
        )
        await send_facts(
            kafka, settings, number, 1, [group(Kind.SENT, [5], 1), group(Kind.OPENED, [5], 9)]
        )
        await send_facts(
            kafka,
            settings,
            number,
            0,
            [
                group(Kind.BOUNCED, [3], 2, "hard:no such user"),
                group(Kind.MACHINE_OPENED, [4], 2),
                group(Kind.ACCEPTED, [3, 4, 6], 2),
            ],
        )

        async def is_there() -> list[Row]:
            rows = await connection.fetch(_ROWS, campaign)
            assert (
                rows[3]["status"] == "bounced"
                and rows[4]["status"] == "delivered"
                and rows[65536 + 5]["status"] == "opened"
            )
            return rows

        rows = await eventually(is_there, 300)
    assert [row["status"] for row in rows[:3]] == ["sent"] * 3
    assert rows[3]["failure_reason"] == "hard:no such user"
    assert rows[4]["opened_at"] is None
    assert (rows[10]["status"], rows[10]["failure_reason"], rows[10]["sent_at"]) == (
        "failed",
        "skipped:suppressed",
        None,
    )
    assert str(rows[65536 + 5]["message_id"]) == MessageIds.of(settings).make(
        number, 65536 + 5, TENANT, 0
    )
    assert rows[11]["status"] == "pending"
    # that a provider took a message is a time beside the status
    assert [rows[ordinal]["accepted_at"] for ordinal in (3, 4, 6, 7)] == [instant(2)] * 3 + [None]
    assert (rows[6]["status"], rows[6]["delivered_at"]) == ("sent", None)


async def test_killed_before_the_commit_does_it_again_and_poison_stops_nothing(
    settings: Settings,
) -> None:
    number, campaign = await make_recipients(settings, 3000)
    topics = Topics(settings)
    async with producer(settings) as kafka, database(settings) as connection:
        for poison in (b"\xc1", b"", None):
            await kafka.send_and_wait(
                topics.name(Name.FACTS),
                poison,
                key=b"k",
                partition=topics.shard_partition(number, 0),
            )
        await send_facts(kafka, settings, number, 0, [Group(Kind.SENT, pack([1, 2]), pack([1]))])
        await send_facts(kafka, settings, number, 0, [group(Kind.SENT, range(3000))])
        command = [sys.executable, "-m", "tests.agents.processes.project_process"]
        doomed = await asyncio.create_subprocess_exec(
            *command, env=environment(settings, CAMPAIGNS_CRASH="project:before-commit:1")
        )
        assert await asyncio.wait_for(doomed.wait(), 300) == -signal.SIGKILL

        async def sent() -> int:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM campaign_recipients"
                    " WHERE campaign_id = $1 AND status = 'sent'",
                    campaign,
                )
            )

        assert await sent() == 0
        async with Project(None, settings):
            await eventually(lambda: equals(sent, 3000), 300)
        await send_facts(kafka, settings, number, 0, [group(Kind.DELIVERED, range(10))])
        async with Project(None, settings):  # begins at the stored position
            await eventually(lambda: equals(sent, 2990), 300)


async def test_lost_connections_lose_nothing(settings: Settings) -> None:
    number, campaign = await make_recipients(settings, 20_000)
    async with (
        producer(settings) as kafka,
        database(settings) as connection,
        Project(None, settings),
    ):
        for start in range(0, 20_000, 1000):
            await send_facts(
                kafka, settings, number, 0, [group(Kind.SENT, range(start, start + 1000))]
            )

        async def all_sent() -> bool:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'campaigns-project'"
                " AND random() < 0.02"
            )
            return bool(await connection.fetchval(_COUNT, campaign) == 20_000)

        await eventually(all_sent, 300)


async def test_a_merge_that_postgresql_has_lost_is_done_again(settings: Settings) -> None:
    """A failover to a standby without the last commits takes rows and positions back, while the
    process goes on.
    """
    number, campaign = await make_recipients(settings, 100)
    async with producer(settings) as kafka, database(settings) as connection:

        async def are_sent(count: int) -> bool:
            return bool(await connection.fetchval(_COUNT, campaign) == count)

        async with Project(None, settings):
            await send_facts(kafka, settings, number, 0, [group(Kind.SENT, range(40))])
            await eventually(lambda: are_sent(40))
            before = await connection.fetch("SELECT * FROM projections")
            await send_facts(kafka, settings, number, 0, [group(Kind.SENT, range(40, 70))])
            await eventually(lambda: are_sent(70))
            for row in before:
                await connection.execute(
                    "UPDATE projections SET position = $1 WHERE topic = $2 AND partition = $3",
                    *(row["position"], row["topic"], row["partition"]),
                )
            await connection.execute(
                "UPDATE campaign_recipients SET status = 'pending', sent_at = NULL"
                " WHERE id >= recipient_id($1, 40) AND id < recipient_id($1, 70)",
                number,
            )
            await send_facts(kafka, settings, number, 0, [group(Kind.SENT, range(70, 100))])
            await eventually(lambda: are_sent(100))


async def equals(question: Any, answer: int) -> bool:
    return bool(await question() == answer)
