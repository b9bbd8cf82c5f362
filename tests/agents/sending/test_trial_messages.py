"""Test messages on a real broker: they arrive whole, a killed relay repeats them under the same id,
and nobody counts them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiokafka.structs import ConsumerRecord

from agents.counting.batching import Pile, sort
from agents.counting.ingest import Ingest
from connectors.messages.content import Content, load
from connectors.messages.trial_sends import messages
from connectors.simulator.behaviour import Behaviour
from connectors.simulator.service import Simulator
from connectors.simulator.truth import recipients
from streams import metrics
from streams.contracts.envelope import rfc3339
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.audience.trial_sends import send_tests
from tables.database.connection import Database
from tests.agents.processes.control_workers import process, read
from tests.connectors.simulator.pipeline import is_read, reported
from tests.eventually import eventually
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

IDS, OTHERS = MessageIds([b"0123456789abcdef"]), MessageIds([b"fedcba9876543210"])


def record(message_id: str) -> ConsumerRecord[bytes, bytes]:
    event = {
        "type": "opened",
        "messageId": message_id,
        "tenantId": "acme",
        "timestamp": "2026-11-24T11:59:58.250Z",
    }
    return ConsumerRecord(
        "pipeline.events.v1", 0, 0, 1_000, 0, None, json.dumps(event).encode(), None, 0, 1, ()
    )


def test_what_is_reported_of_a_test_is_dropped_unless_it_is_forged() -> None:
    piles, before = dict[str, Pile](), metrics.OF_TESTS._value.get()
    ids = [
        IDS.make(0, 7, "acme", 0),
        IDS.make(0, 70_000, "acme", 0),
        OTHERS.make(0, 7, "acme", 0),
        IDS.make(0, 7, "globex", 0),
    ]
    refused = sort(map(record, ids), IDS, time.time(), piles)
    assert piles == {}
    assert [code for _, _, code in refused] == ["id-forged", "id-forged"]
    assert metrics.OF_TESTS._value.get() == before + 2


async def is_empty(pool: Database) -> bool:
    return bool(await sql(pool).fetchval("SELECT count(*) FROM outbox") == 0)


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    pool = Database(settings)
    yield pool
    await pool.close()


async def content(world: World, campaign_id: UUID) -> Content:
    number = await sql(world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", campaign_id
    )
    async with world.pool.transaction() as connection:
        found = await load(
            connection, world.tenant, number, "https://mail.example", is_tracked=False
        )
    assert found is not None
    return found


async def test_a_test_arrives_whole_and_once_more_after_a_kill_and_nothing_counts_it(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    world, topics, at = await make_world(pool, settings), Topics(settings), datetime.now(UTC)
    await sql(pool).execute(
        "UPDATE templates SET content = $1",
        {"subject": "s", "text": "{{ firstName }}" + "x" * 190_000},
    )
    said = await content(world, await world.created())
    people, somebody = [f"u{n}@example.com" for n in range(10)], (world.user, {"firstName": "Ana"})
    ids, options = (
        MessageIds.of(settings),
        dict[str, Any]({"epoch": settings.key_epoch, "at": rfc3339(at)}),
    )
    made = messages(said, [None], people, somebody, ids=ids, draw=secrets.randbelow, **options)
    async with pool.transaction() as connection:
        await send_tests(connection, world.tenant, made, at)
    async with process(settings, "relay", tmp_path, "outbox:before-commit:1", "outbox:published:1"):
        await eventually(lambda: is_empty(pool), within=300)
    found = read(settings, Name.MESSAGES)
    expected = {one.message_id: one for one in made}
    assert {record.key for record in found} == set(expected)
    assert len(found) == 2 * len(made)  # killed between Kafka's commit and the database's
    for record in found:
        one = expected[record.key]
        assert record.partition == topics.partition(record.key)
        assert record.value["isTest"] is True
        assert (record.value["messageId"], record.value["to"]) == (one.message_id, one.to)
        assert record.value["content"] == {"subject": "[Test] s", "text": "Ana" + "x" * 190_000}
    before = metrics.OF_TESTS._value.get()
    simulator = Simulator(
        None, settings, Behaviour(delivery=0, opening=0, clicking=0, opens=1), tmp_path
    )
    async with simulator, Ingest(None, settings):
        await eventually(lambda: is_read(settings, "campaigns-simulate"), 300)
        await eventually(lambda: simulator.pending == 0, 300)
        events = len(await reported(settings))
        assert events >= len(made)
        await eventually(lambda: metrics.OF_TESTS._value.get() == before + events, 300)
    assert recipients(tmp_path) == {}
    assert read(settings, Name.FACTS) == []
    assert read(settings, Name.DEAD_LETTERS) == []
