"""What a transaction left in the outbox reaches Kafka, in order, at least once, with an id that
every repeat shares.
"""

from __future__ import annotations

import secrets
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest

from connectors.local.engines.engine import RunningEngine
from streams.contracts.commands import Verb
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.database.connection import Database
from tables.database.driver import DriverConnection
from tables.database.outbox import Outgoing, append, claim
from tests.agents.processes.control_workers import Written, control_worker, has_said, process, read
from tests.eventually import eventually
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import make_world


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    pool = Database(settings)
    yield pool
    await pool.close()


async def fill(pool: Database, campaigns: int, each: int) -> dict[str, list[str]]:
    """Campaign -> ids of its events, in order, in transactions that interleave."""
    ids = {str(uuid4()): [str(uuid4()) for _ in range(each)] for _ in range(campaigns)}
    for n in range(each):
        rows = [
            Outgoing(Name.EVENTS, key, "campaign.updated", UUID(mine[n]), b'{"n":%d}' % n)
            for key, mine in ids.items()
        ]
        async with pool.transaction() as connection:
            await append(connection, rows)
    return ids


def firsts(records: list[Written]) -> dict[str, list[str]]:
    """Campaign -> ids as a reader sees them first."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.headers["id"] not in seen[record.key]:
            seen[record.key].append(record.headers["id"])
    return dict(seen)


async def is_empty(pool: Database) -> bool:
    return bool(await sql(pool).fetchval("SELECT count(*) FROM outbox") == 0)


async def test_a_started_campaign_reaches_the_engine_at_once_and_in_the_right_partitions(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    world = await make_world(pool, settings)
    async with process(settings, "relay", tmp_path):
        campaign_id = await world.started()
        await world.do(Verb.PAUSE, campaign_id)
        await eventually(lambda: is_empty(pool), within=300)
        await world.do(Verb.RESUME, campaign_id)
        await eventually(lambda: is_empty(pool))
    topics = Topics(settings)
    events, sending, expansions = (
        read(settings, name) for name in (Name.EVENTS, Name.SENDING, Name.EXPANSIONS)
    )
    assert [record.headers["type"] for record in events] == [
        "campaign.created",
        "campaign.paused",
        "campaign.resumed",
    ]
    assert {(record.partition, record.key) for record in events} == {
        (topics.partition(str(campaign_id)), str(campaign_id))
    }
    assert {record.value["tenantId"] for record in events} == {"acme"}
    assert [record.value["type"] for record in sending] == ["paused", "resumed"]
    assert {(record.partition, record.key) for record in sending} == {
        (topics.partition("acme"), "acme")
    }
    assert [record.value["type"] for record in expansions] == ["stage"]


async def test_kill_9_at_every_point_loses_nothing_and_keeps_ids_and_order(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    async with process(
        settings,
        "relay",
        tmp_path,
        "outbox:before-commit:1",
        "outbox:published:1",
        "outbox:published:2",
    ) as slot:
        written: dict[str, list[str]] = {}
        for _ in range(4):
            written |= await fill(pool, campaigns=10, each=10)
            await eventually(lambda: is_empty(pool), within=300)
    assert slot.role.met.total() == 3
    records = read(settings, Name.EVENTS)
    assert firsts(records) == written
    assert len(records) > sum(
        map(len, written.values())
    )  # killed between Kafka's commit and SQL's: written twice, with the same ids


async def test_of_two_relays_one_works_and_the_other_takes_over_from_a_frozen_one(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    # frozen with its records committed in Kafka and not in SQL; it wakes up after another one has
    # written more
    first = await control_worker(settings, "relay", tmp_path, name="first").start(
        CAMPAIGNS_CRASH="outbox:published:1:stop"
    )
    try:
        written = await fill(pool, campaigns=5, each=10)
        await eventually(first.is_frozen, within=300)
        async with process(settings, "relay", tmp_path, name="second"):
            await eventually(
                lambda: has_said(tmp_path, "second", "is the outbox relay"), within=300
            )
            written |= await fill(pool, campaigns=5, each=10)
            await eventually(lambda: is_empty(pool), within=300)
            first.signal(signal.SIGCONT)
            await eventually(
                lambda: has_said(tmp_path, "first", "waits for a dependency"), within=300
            )
            written |= await fill(pool, campaigns=5, each=10)
            await eventually(lambda: is_empty(pool), within=300)
    finally:
        await first.stop()
    assert firsts(read(settings, Name.EVENTS)) == written


async def test_the_relay_waits_for_a_database_that_is_away(
    settings: Settings, pool: Database, postgres_engine: RunningEngine, tmp_path: Path
) -> None:
    async with process(settings, "relay", tmp_path) as slot:
        written = await fill(pool, campaigns=3, each=3)
        await eventually(lambda: is_empty(pool), within=300)
        postgres_engine.kill()
        await eventually(lambda: has_said(tmp_path, "relay", "waits for a dependency"))
        postgres_engine.start()  # not on a thread: the engine ends with the thread that started it
        written |= await fill(pool, campaigns=3, each=3)
        await eventually(lambda: is_empty(pool), within=300)
        assert not slot.exits
    assert firsts(read(settings, Name.EVENTS)) == written


async def test_a_record_that_kafka_never_takes_is_put_aside_and_those_around_it_go_on(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    """Too large for a batch, too large for the broker's topic, of a topic of a newer version, with
    a key that is none.
    """
    poison = [
        Outgoing(Name.EVENTS, "big", "campaign.updated", uuid4(), secrets.token_bytes(1_200_000)),
        Outgoing("campaigns.events.v9", "k", "campaign.updated", uuid4(), b"{}"),
        Outgoing(Name.FACTS, "no-number", "", uuid4(), b"{}"),
    ]
    written: dict[str, list[str]] = {}
    for record in poison:
        written |= await fill(pool, campaigns=3, each=4)
        async with pool.transaction() as session:
            await append(session, [record])
    written |= await fill(pool, campaigns=3, each=4)
    async with process(settings, "relay", tmp_path, "outbox:published:3") as slot:
        await eventually(lambda: is_empty(pool), within=300)
    rows = await sql(pool).fetch("SELECT event_id, error FROM outbox_refused ORDER BY seq")
    assert [row["event_id"] for row in rows] == [record.id for record in poison]
    assert [row["error"].partition(":")[0] for row in rows] == [
        "RecordTooLargeError",
        "ValueError",
        "ValueError",
    ]
    assert firsts(read(settings, Name.EVENTS)) == written
    assert slot.role.met.total() == 1 and has_said(tmp_path, "relay", "Kafka refuses a record")


async def test_a_round_takes_no_more_bytes_than_kafka_takes_in_its_time(pool: Database) -> None:
    sizes = [500, 3_000, 10, 9_000, 10, 10]
    rows = [Outgoing(Name.EVENTS, "k", "", uuid4(), bytes(size)) for size in sizes]
    async with pool.transaction() as session:
        await append(session, rows)
    async with pool.transaction() as session:
        connection = cast("DriverConnection", await session.driver())
        taken = [
            [len(row.payload) for row in await claim(connection, limit, size)]
            for limit, size in ((9, 3_500), (1, 9_999), (9, 1), (9, 1 << 20), (9, 1 << 20))
        ]
    assert taken == [[500, 3_000], [10], [9_000], [10, 10], []]
