"""`campaigns reconcile` on real servers whose knowledge of each other was made up: what it finds,
what it mends, and that looking changes nothing. The whole engine is restored in `tests/stacks`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from connectors.setup.prepare import prepare
from connectors.setup.reconcile import AtWorkError, Report, reconcile
from streams.contracts.commands import Verb
from streams.contracts.envelope import encode
from streams.kafka import clients, marks
from streams.records.stats import Counts, ShardStats
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tables.commands.reconciling import Remedy
from tables.database.connection import Database
from tables.installation import rounds
from tables.installation.rounds import MismatchError
from tables.throttle.state import CampaignSending, TenantSending, encode_tenant
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    await prepare(settings)
    async with Database(settings) as pool:
        yield pool


@pytest.fixture
async def world(pool: Database, settings: Settings) -> World:
    return await make_world(pool, settings)


async def _publish(settings: Settings, *records: tuple[Name, str, bytes, bytes]) -> None:
    """Topic, key that decides about the partition, key and value."""
    topics = Topics(settings)
    async with clients.producer(settings) as producer:
        for name, place, key, value in records:
            partition = topics.place(name, place)
            await producer.send_and_wait(topics.name(name), value, key=key, partition=partition)


async def _sends(settings: Settings, tenant: str, **campaigns: CampaignSending) -> None:
    """The throttle's row of a tenant, by `n<number>`."""
    row = TenantSending(campaigns={int(n[1:]): it for n, it in campaigns.items()})
    key = b'sending\0"' + tenant.encode() + b'"'
    await _publish(settings, (Name.CONTROL_STATE, tenant, key, encode_tenant(row)))


async def _counted(settings: Settings, number: int, sent: int) -> None:
    stats = ShardStats(
        tenant_id="acme",
        number=number,
        shard=0,
        version=1,
        total=Counts(sent=sent),
        variants={},
        hours={},
        skipped={},
        updated_at="2026-01-28T09:00:00.000Z",
    )
    key = shard_key(number, 0)
    await _publish(settings, (Name.STATS, key.decode(), key, encode(stats)))


async def _kafka_is_ahead(pool: Database, settings: Settings, number: int) -> None:
    known = await pool.once(rounds.join)
    await marks.write(settings, replace(known, announced=40, number=number).mark())


async def _number(pool: Database, campaign: UUID) -> int:
    number: int = await sql(pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign)
    return number


async def _rows(pool: Database) -> list[Any]:
    return await sql(pool).fetch(
        "SELECT c.*, s.last_value FROM campaigns c, campaigns_number_seq s ORDER BY number"
    ) + await sql(pool).fetch("SELECT * FROM outbox ORDER BY seq")


def _remedies(report: Report) -> dict[UUID, Remedy]:
    return {found.campaign.id: found.remedy for found in report.findings}


async def test_servers_that_fit_need_nothing(settings: Settings, world: World) -> None:
    await world.started()
    for repair in (False, True):
        assert await reconcile(settings, repair=repair) == Report()


async def test_what_a_restored_postgresql_is_mended_of(
    settings: Settings, pool: Database, world: World
) -> None:
    going, gone, left, draft, fresh = [
        await world.started(),
        await world.started(),
        await world.started(),
        await world.created(),
        await world.created(),
    ]
    numbers = [await _number(pool, one) for one in (going, gone, left, draft, fresh)]
    await sql(pool).execute(
        "UPDATE campaigns SET total_recipients = 10 WHERE started_at IS NOT NULL"
    )
    sending = CampaignSending(str(going), is_open=True, total=10, version=9)
    stray = CampaignSending(str(UUID(int=9)), is_open=True, total=3, granted=3, version=2)
    await _sends(settings, "acme", **{f"n{numbers[0]}": sending, "n4321": stray})
    await _counted(settings, numbers[1], 10)
    await _counted(settings, numbers[3], 4)
    await _kafka_is_ahead(pool, settings, 5678)
    with pytest.raises(MismatchError, match="PostgreSQL has lost"):
        await prepare(settings)

    before = await _rows(pool)
    dry = await reconcile(settings, repair=False)
    assert await _rows(pool) == before
    assert dry.mismatch.startswith("PostgreSQL has lost") and not dry.is_repaired
    assert _remedies(dry) == {
        going: Remedy.GO_ON,
        gone: Remedy.COMPLETE,
        left: Remedy.CANCEL,
        draft: Remedy.CANCEL,
    }
    assert set(dry.strays) == {4321} and dry.next_number == 7000
    mended = await reconcile(settings, repair=True)
    assert _remedies(mended) == _remedies(dry) and mended.is_repaired
    assert await reconcile(settings, repair=True) == Report()
    await prepare(settings)
    shown = await sql(pool).fetch("SELECT id, status, status_reason, version FROM campaigns")
    status = {row["id"]: row["status"] for row in shown}
    assert status == {
        going: "running",
        gone: "completed",
        left: "cancelled",
        draft: "cancelled",
        fresh: "draft",
    }
    assert {row["version"] for row in shown if row["id"] == going} == {9}
    noted = await sql(pool).fetch(
        "SELECT subject FROM audit_log WHERE action = 'campaign.reconciled'"
    )
    assert {row["subject"] for row in noted} == {
        str(one) for one in (going, gone, left, draft, UUID(int=9))
    }
    assert await _number(pool, await world.created()) == 7000


async def test_a_scheduled_campaign_that_was_changed_since_is_a_draft_again(
    settings: Settings, pool: Database, world: World
) -> None:
    later = {"scheduledAt": "2030-01-01T09:00:00Z"}
    changed, as_it_was = await world.created(), await world.created()
    for one in (changed, as_it_was):
        await world.do(Verb.SCHEDULE, one, later)
    rows = await sql(pool).fetch("SELECT key, payload FROM outbox ORDER BY seq")
    await sql(pool).execute("DELETE FROM outbox")
    await _publish(
        settings, *((Name.EVENTS, row["key"], row["key"].encode(), row["payload"]) for row in rows)
    )
    await sql(pool).execute(
        "UPDATE campaigns SET updated_at = updated_at - interval '1 hour' WHERE id = $1", changed
    )
    await _kafka_is_ahead(pool, settings, 2)
    assert _remedies(await reconcile(settings, repair=True)) == {changed: Remedy.UNSCHEDULE}
    assert (
        await sql(pool).fetchval("SELECT status FROM campaigns WHERE id = $1", changed) == "draft"
    )


async def test_a_database_of_another_installation_follows_its_topics(
    settings: Settings, pool: Database, world: World
) -> None:
    known = await pool.once(rounds.join)
    await sql(pool).execute("UPDATE installation SET identity = gen_random_uuid(), announced = 3")
    with pytest.raises(MismatchError, match="belong to another database"):
        await prepare(settings)
    await reconcile(settings, repair=True)
    await prepare(settings)
    assert (await pool.once(rounds.join)).installation == known.installation


async def test_nothing_is_mended_while_a_relay_is_at_work(
    settings: Settings, pool: Database, world: World
) -> None:
    campaign = await world.started()
    await _kafka_is_ahead(pool, settings, 1)
    async with pool.transaction() as session:
        await session.run("SELECT pg_advisory_xact_lock(hashtext('campaigns.outbox-relay'))")
        with pytest.raises(AtWorkError, match="stop every process"):
            await reconcile(settings, repair=True)
    assert await sql(pool).fetchval("SELECT status FROM campaigns WHERE id = $1", campaign) == (
        "running"
    )
