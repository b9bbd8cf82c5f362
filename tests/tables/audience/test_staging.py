"""Who gets a campaign, in which order, and what each step leaves behind, on a real PostgreSQL,
compared with a plain recomputation.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import uuid4

import pytest

from streams.contracts.commands import Verb
from streams.records.expansions import Stage
from tables.audience import staging
from tables.audience.staging import Audience
from tables.campaigns.campaign import get_campaign
from tables.campaigns.changes import Change
from tables.database.connection import Database
from tables.directory.suppressions import put_suppression
from tests.postgres import sql
from tests.tables.audience.audience_world import (
    Directory,
    announce,
    expand,
    has_stage,
    ledger,
    record,
    segment,
    stage,
    write,
)
from tests.tables.campaigns.campaign_world import World


@pytest.fixture
def directory(world: World) -> Directory:
    return Directory(world)


async def test_the_audience_is_segments_minus_exclusions_minus_suppressed_minus_unreachable(
    directory: Directory,
) -> None:
    world, rng = directory.world, random.Random(7)
    names = await asyncio.gather(*(segment(world, name) for name in ("a", "b", "out", "elsewhere")))
    contacts = []
    for place, count in zip(names, (60, 60, 20, 30), strict=True):
        emails = [
            None if rng.random() < 0.1 else f"u{rng.randrange(150)}@example.com"
            for _ in range(count)
        ]
        contacts.append(await directory.add(place, *emails))
    a, b, out, _ = contacts
    await directory.join(names[1], *rng.sample(a, 20))
    excluded = {*out, *rng.sample(a + b, 15)}
    await directory.join(names[2], *(excluded - {*out}))
    suppressed, silent = set(rng.sample(a + b, 10)), {f"u{n}@example.com" for n in range(0, 150, 9)}
    async with world.pool.transaction() as connection:
        for contact in suppressed:
            await put_suppression(connection, world.tenant, "email", contact_id=contact)
        for address in silent:
            await put_suppression(connection, world.tenant, "email", address=address)
        await put_suppression(connection, world.tenant, "sms", contact_id=a[0])
    campaign = await world.started(
        segmentIds=[str(names[0]), str(names[1])], excludeSegmentIds=[str(names[2])]
    )
    found = await expand(world, campaign)
    eligible = {*a, *b} - excluded - suppressed
    addresses = {directory.emails[contact] for contact in eligible} - silent - {None}
    assert sorted(str(directory.emails[contact]) for contact in found) == sorted(
        map(str, addresses)
    )
    assert set(found) <= eligible
    assert len(set(found)) == len(found)


async def test_the_way_of_joining_does_not_change_the_audience(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, place = directory.world, await segment(directory.world, "s")
    await directory.add(place, *(f"u{n % 80}@example.com" for n in range(100)))
    orders = []
    for few in (0, 1000):
        monkeypatch.setattr(staging, "_FEW", few)
        async with world.pool.transaction() as connection:
            is_many = await staging.choose_joins(connection, (place,))
            query = staging.audience_query("email", 5, is_many=is_many)
            orders.append(
                await connection.values(
                    f"SELECT contact_id FROM ({query}) q ORDER BY ordinal",
                    tenant=world.tenant,
                    segments=[place],
                    excluded=[],
                )
            )
    assert orders[0] == orders[1]
    assert len(orders[0]) == 80


async def test_no_member_is_compared_with_every_contact_of_a_tenant_without_statistics(
    directory: Directory,
) -> None:
    """They know all tenants but this one, so they say that it has no contacts."""
    world, size = directory.world, 400
    async with world.pool.transaction() as connection:
        await connection.script("DELETE FROM segment_members; DELETE FROM contacts")
        await connection.script(
            "INSERT INTO contacts (id, tenant_id, email)"
            " SELECT gen_random_uuid(), 'other', 'o' || n || '@example.com'"
            " FROM generate_series(1, 5000) n;"
            " ANALYZE contacts; ANALYZE segment_members; ANALYZE suppressions"
        )
    place, out = await segment(world, "s"), await segment(world, "out")
    emails = [f"u{n}@example.com" for n in range(size)]
    await directory.add(place, *emails)
    await directory.add(out, *(f"x{n}@example.com" for n in range(size)))
    async with world.pool.transaction() as connection:
        is_many = await staging.choose_joins(connection, (place,))
        query = staging.audience_query("email", 5, is_many=is_many)
        ((plan,),) = await connection.values(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {query}",
            tenant=world.tenant,
            segments=[place],
            excluded=[out],
        )
    assert plan["Plan"]["Actual Rows"] == size
    assert _passed_over(plan["Plan"]) <= 10 * size


def _passed_over(node: Any) -> float:
    """Rows that were looked at and did not fit, here and below."""
    names = ("Rows Removed by Join Filter", "Rows Removed by Filter")
    here = sum(node.get(name, 0) for name in names) * node["Actual Loops"]
    return float(here + sum(map(_passed_over, node.get("Plans", ()))))


async def test_the_order_is_another_one_in_every_campaign(directory: Directory) -> None:
    world = directory.world
    await directory.add(world.segment, *(f"u{n}@example.com" for n in range(50)))
    first, second = [await expand(world, await world.started()) for _ in range(2)]
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "push"])
async def test_other_channels_take_the_address_from_their_own_column(
    directory: Directory, channel: str
) -> None:
    world = directory.world
    (with_phone,) = await directory.add(world.segment, None)
    (with_token,) = await directory.add(world.segment, None)
    await sql(world.pool).execute(
        "UPDATE contacts SET phone = NULL, push_token = 'tok' WHERE id = $1", with_token
    )
    campaign = await world.started()
    await sql(world.pool).execute(
        "UPDATE campaigns SET channel = $2::campaign_channel WHERE id = $1", campaign, channel
    )
    assert await expand(world, campaign) == [with_token if channel == "push" else with_phone]


async def test_every_step_may_be_repeated(directory: Directory) -> None:
    world = directory.world
    await directory.add(world.segment, *(f"u{n}@example.com" for n in range(20)))
    campaign = await world.started()
    wanted = await record(world, campaign)
    assert [await stage(world, wanted) for _ in range(2)] == [20, 20]
    await directory.add(world.segment, "late@example.com")  # the stage is a snapshot
    for _ in range(2):
        known = await announce(world, wanted, 20)
        assert isinstance(known, Audience)
        assert (known.total, known.campaign.total_recipients) == (20, 20)
        assert await stage(world, wanted) == 20
    started = [data for kind, data in await world.events() if kind == "campaign.started"]
    assert [data["totalRecipients"] for data in started] == [20]
    for start in (0, 0, 10, 10, 0):
        assert await write(world, wanted, 20, start, start + 10)
    assert len(await ledger(world, wanted.number)) == 20
    assert not await has_stage(world, wanted.number)


async def test_two_workers_at_once_make_one_audience(directory: Directory) -> None:
    world = directory.world
    await directory.add(world.segment, *(f"u{n}@example.com" for n in range(20)))
    wanted = await record(world, await world.started())
    assert await asyncio.gather(*(stage(world, wanted) for _ in range(4))) == [20] * 4
    await announce(world, wanted, 20)
    await asyncio.gather(
        *(write(world, wanted, 20, start, start + 5) for start in (0, 5, 10) for _ in range(3))
    )
    await asyncio.gather(*(write(world, wanted, 20, 15, 20) for _ in range(3)))
    assert len(await ledger(world, wanted.number)) == 20


async def test_a_campaign_over_the_limit_is_cancelled_with_its_reason(directory: Directory) -> None:
    world = directory.world
    await directory.add(world.segment, *(f"u{n}@example.com" for n in range(20)))
    campaign = await world.started()
    wanted = await record(world, campaign)
    total = await stage(world, wanted)
    assert total == 20
    change = await announce(world, wanted, total, max_recipients=19)
    assert isinstance(change, Change)
    assert (change.from_status, change.to_status) == ("running", "cancelled")
    assert await announce(world, wanted, total, max_recipients=19) is None
    async with world.pool.transaction() as connection:
        found = await get_campaign(connection, world.tenant, campaign)
    assert (found.status, found.status_reason) == (
        "cancelled",
        "recipient-limit: 20 recipients, the limit is 19",
    )
    kinds = [(topic, kind or value["type"]) for topic, kind, value in await world.outbox()]
    assert kinds[-3:] == [
        ("campaigns.events.v1", "campaign.cancelled"),
        ("campaigns.events.v1", "campaign.failed"),
        ("campaigns.sending.v1", "closed"),
    ]
    assert not await has_stage(world, wanted.number)


async def test_nobody_is_an_audience_too(world: World) -> None:
    wanted = await record(world, await world.started())
    assert await stage(world, wanted) == 0
    known = await announce(world, wanted, 0)
    assert isinstance(known, Audience)
    assert known.campaign.total_recipients == 0
    assert not await has_stage(world, wanted.number)


async def test_a_campaign_that_is_over_is_neither_staged_nor_written(directory: Directory) -> None:
    world = directory.world
    await directory.add(world.segment, *(f"u{n}@example.com" for n in range(20)))
    campaign = await world.started()
    wanted = await record(world, campaign)
    await stage(world, wanted)
    await announce(world, wanted, 20)
    assert await write(world, wanted, 20, 0, 10)
    await world.do(Verb.CANCEL, campaign)
    assert not await write(world, wanted, 20, 10, 20)
    assert not await has_stage(world, wanted.number)
    assert await stage(world, wanted) is None
    assert await announce(world, wanted, 20) is None
    assert len(await ledger(world, wanted.number)) == 10


async def test_a_paused_campaign_is_written_on(directory: Directory) -> None:
    world = directory.world
    await directory.add(world.segment, "a@example.com", "b@example.com")
    campaign = await world.started()
    await world.do(Verb.PAUSE, campaign)
    assert len(await expand(world, campaign)) == 2


async def test_a_foreign_record_finds_no_campaign(directory: Directory) -> None:
    wanted = await record(directory.world, await directory.world.started())
    for wrong in ({"tenant_id": "other"}, {"campaign_id": str(uuid4())}, {"number": 10**9}):
        foreign = Stage(
            **{**{name: getattr(wanted, name) for name in wanted.__struct_fields__}, **wrong}
        )
        assert await stage(directory.world, foreign) is None


async def test_stages_of_campaigns_that_are_over_are_dropped(directory: Directory) -> None:
    world = directory.world
    await directory.add(world.segment, "a@example.com")
    over, running = [await world.started() for _ in range(2)]
    numbers = []
    for campaign in (over, running):
        wanted = await record(world, campaign)
        await stage(world, wanted)
        numbers.append(wanted.number)
    await world.do(Verb.CANCEL, over)
    await sql(world.pool).execute(
        "CREATE TABLE stage_999999 (); CREATE TABLE stage_door (); CREATE TABLE backstage_1 ()"
    )
    async with world.pool.transaction() as reader:
        await sql(reader).execute(f"LOCK TABLE stage_{numbers[0]} IN ACCESS SHARE MODE")
        assert await _dropped(world.pool) == 1  # the one that nobody reads
    assert await _dropped(world.pool) == 1
    left = await sql(world.pool).fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%stage%' ORDER BY 1"
    )
    assert [row["relname"] for row in left] == ["backstage_1", f"stage_{numbers[1]}", "stage_door"]


async def _dropped(pool: Database) -> int:
    async with pool.transaction() as connection:
        return await staging.drop_dead_stages(connection)
