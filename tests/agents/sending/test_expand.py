"""Expansion by the real worker on a real broker and a real database; what it announces is read by
another Kafka client.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Producer

from agents.sending.expand import following, parse
from streams.contracts.commands import Verb
from streams.contracts.envelope import encode
from streams.records.expansions import Page, Stage
from streams.records.message_id import MAX_ORDINAL
from streams.records.sending import Limits, PlanOpened, RowsReady, Span, decode_sending
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.audience.recipients import ordinal_of, recipient_id
from tables.database.connection import Database
from tests.environment import environment
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.workers import Role, Slot, Worker
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

PAGE = 100
POINTS = (
    "staged:1",
    "announced:1",
    "page-written:1",
    "begun:2",
    "before-commit:2",
    "after-commit:2",
)  # the later ones are pages


@asynccontextmanager
async def expanding(settings: Settings, folder: Path, *points: str) -> AsyncIterator[Slot]:
    """A supervised worker; it meets the crash points one after the other."""
    variables = environment(
        settings, CAMPAIGNS_PAGE_SIZE=str(PAGE), CAMPAIGNS_MAX_RECIPIENTS="2000"
    )
    worker = Worker("expand", folder / "expand.log", variables, module="agents.worker")
    slot = Slot(Role("expand", list(points)), worker)
    task = asyncio.create_task(slot.supervise())
    try:
        yield slot
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if worker.process is not None:
            await worker.stop()


@dataclass
class Announced:
    """What the throttle hears, by campaign number, and what was put aside."""

    opened: defaultdict[int, list[PlanOpened]] = field(default_factory=lambda: defaultdict(list))
    stops: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    dead: list[bytes] = field(default_factory=list)


def read(settings: Settings) -> Announced:
    topics, found = Topics(settings), Announced()
    for partition, records in enumerate(
        raw_kafka.read_all(settings.kafka, topics.name(Name.SENDING), settings.partitions)
    ):
        for record in records:
            heard = decode_sending(record.value or b"")
            assert isinstance(heard, PlanOpened | RowsReady)
            assert (partition, record.key) == (
                topics.partition(heard.tenant_id),
                heard.tenant_id.encode(),
            )
            if isinstance(heard, PlanOpened):
                found.opened[heard.number].append(heard)
            else:
                found.stops[heard.number].append(heard.stop)
    found.dead = [
        record.key or b""
        for record in raw_kafka.read_all(settings.kafka, topics.name(Name.DEAD_LETTERS), 1)[0]
    ]
    return found


class Expansions:
    """Sends what the outbox holds for `expand`, as the relay does, and other records."""

    def __init__(self, settings: Settings) -> None:
        self._producer, self._topics = (
            Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0, "log_level": 0}),
            Topics(settings),
        )

    def send(self, value: bytes, key: str) -> None:
        self._producer.produce(
            self._topics.name(Name.EXPANSIONS), value, key.encode(), self._topics.partition(key)
        )
        self._producer.flush(10)

    async def relay(self, world: World) -> None:
        rows = await sql(world.pool).fetch(
            "DELETE FROM outbox WHERE topic = $1 RETURNING key, payload", Name.EXPANSIONS
        )
        for row in rows:
            self.send(row["payload"], row["key"])


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    pool = Database(settings)
    yield pool
    await pool.close()


async def started(world: World, size: int, **more: object) -> tuple[UUID, int]:
    """A running campaign to a new segment of `size` new contacts: its id and number."""
    segment = await sql(world.pool).fetchval(
        "INSERT INTO segments (tenant_id, name) VALUES ($1, $2) RETURNING id",
        world.tenant,
        f"{size} people",
    )
    await sql(world.pool).execute(
        "WITH made AS (INSERT INTO contacts (id, tenant_id, email)"
        " SELECT gen_random_uuid(), $1, 'u' || n || '@example.com'"
        " FROM generate_series(1, $3::int) n RETURNING id)"
        " INSERT INTO segment_members SELECT $2, id, $1 FROM made",
        *(world.tenant, segment, size),
    )
    campaign = await world.started(segmentIds=[str(segment)], **more)
    return campaign, await sql(world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", campaign
    )


async def ordinals(pool: Database, number: int) -> list[int]:
    bounds = recipient_id(number, 0), recipient_id(number, MAX_ORDINAL + 1)
    rows = await sql(pool).fetch(
        "SELECT id, contact_id FROM campaign_recipients WHERE id >= $1 AND id < $2 ORDER BY id",
        *bounds,
    )
    assert len({row["contact_id"] for row in rows}) == len(rows)
    return [ordinal_of(row["id"]) for row in rows]


async def announced(settings: Settings, sizes: dict[int, int], within: float = 300) -> Announced:
    """Everything on the topics, once the last page of each of these campaigns (number -> size) is
    announced.
    """

    async def ask() -> Announced | None:
        found = await asyncio.to_thread(read, settings)
        return (
            found
            if all(
                found.opened[n] and (not size or size in found.stops[n])
                for n, size in sizes.items()
            )
            else None
        )

    found = await eventually(ask, within)
    assert found is not None
    return found


def pages(size: int) -> list[int]:
    return [min(start + PAGE, size) for start in range(0, size, PAGE)]


async def test_every_campaign_is_expanded_once_although_the_worker_is_killed_at_every_point(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    acme, beta = await make_world(pool, settings, "acme"), await make_world(pool, settings, "beta")
    limits = {"messagesPerHour": 500, "messagesPerDay": 5000}
    made = [
        await started(acme, 950, throttleConfig=limits),
        await started(beta, 1000),
        await started(acme, 1),
        await started(beta, 430),
    ]
    sizes = dict(zip((number for _, number in made), (950, 1000, 1, 430), strict=True))
    expansions = Expansions(settings)
    async with expanding(settings, tmp_path, *POINTS) as slot:
        await expansions.relay(acme)
        found = await announced(settings, sizes, within=300)
        assert slot.role.met.total() >= len(POINTS) - 1  # the last one may come after the last page
    for number, size in sizes.items():
        assert [plan.total for plan in found.opened[number]] == [size]
        assert found.opened[number][0].spans == (Span(start=0, stop=size),)
        assert found.stops[number] == pages(size)
        assert await ordinals(pool, number) == list(range(size))
    assert found.opened[made[0][1]][0].limits == Limits(per_hour=500, per_day=5000)
    events = [
        data["totalRecipients"] for kind, data in await acme.events() if kind == "campaign.started"
    ]
    assert sorted(events) == sorted(sizes.values())
    assert await sql(pool).fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^stage_'") == 0
    assert not found.dead


async def test_unusable_records_are_put_aside_and_repeats_change_nothing(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    world, expansions = await make_world(pool, settings), Expansions(settings)
    campaign, number = await started(world, 150)
    stage = Stage(tenant_id="acme", campaign_id=str(campaign), number=number, correlation_id="c")
    late = Page(tenant_id="acme", campaign_id=str(campaign), number=number, total=150, start=100)
    foreign = Stage(tenant_id="acme", campaign_id=str(uuid4()), number=number, correlation_id="c")
    async with expanding(settings, tmp_path):
        for value in (
            b"",
            b"{",
            b'{"type":"stage"}',
            b'{"type":"reset"}',
            encode(foreign),
            encode(stage),
            encode(stage),
            encode(late),
        ):
            expansions.send(value, str(campaign))
        await eventually(lambda: _dead(settings, 4), within=300)
        await eventually(lambda: _heard(settings, number, 5), within=300)
    found = await asyncio.to_thread(read, settings)
    assert len(found.opened[number]) == 2
    assert set(found.stops[number]) == {100, 150}
    assert await ordinals(pool, number) == list(range(150))
    assert [kind for kind, _ in await world.events()].count("campaign.started") == 1


async def _dead(settings: Settings, count: int) -> bool:
    return len((await asyncio.to_thread(read, settings)).dead) >= count


async def _heard(settings: Settings, number: int, count: int) -> bool:
    return len((await asyncio.to_thread(read, settings)).stops[number]) >= count


async def test_what_cannot_be_sent_says_why_and_holds_up_nobody(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    world, expansions = await make_world(pool, settings), Expansions(settings)
    large, large_number = await started(world, 2001)
    empty, empty_number = await started(world, 0)
    broken, broken_number = await started(world, 10)
    await sql(pool).execute("UPDATE campaigns SET channel = 'push' WHERE id = $1", broken)
    await sql(pool).execute("ALTER TABLE contacts DROP COLUMN push_token CASCADE")
    last, last_number = await started(world, 20)
    async with expanding(settings, tmp_path):
        await expansions.relay(world)
        found = await announced(settings, {empty_number: 0, last_number: 20})
        await eventually(lambda: _statuses(pool, large, broken))
    assert (found.opened[empty_number][0].total, found.opened[empty_number][0].spans) == (0, ())
    reasons = [
        await sql(pool).fetchval("SELECT status_reason FROM campaigns WHERE id = $1", it)
        for it in (large, broken, empty, last)
    ]
    assert reasons == [
        "recipient-limit: 2,001 recipients, the limit is 2,000",
        "expansion-failed: UndefinedColumnError 42703",
        None,
        None,
    ]
    assert {large_number, broken_number}.isdisjoint(
        number for number, plans in found.opened.items() if plans
    )


async def test_a_page_that_always_exceeds_its_time_ends_its_campaign_and_holds_up_nobody(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    world, expansions = await make_world(pool, settings), Expansions(settings)
    slow, slow_number = await started(world, 1000)
    _, last_number = await started(world, 250)
    # what the statement timeout raises after minutes, at once
    await sql(pool).execute(
        "CREATE FUNCTION too_slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'canceling statement due to statement timeout'"
        " USING ERRCODE = '57014'; END $$"
    )
    await sql(pool).execute(
        "CREATE TRIGGER too_slow BEFORE INSERT ON campaign_recipients FOR EACH ROW"
        f" WHEN (NEW.id >= '{recipient_id(slow_number, 3 * PAGE)}'"
        f" AND NEW.campaign_id = '{slow}') EXECUTE FUNCTION too_slow()"
    )
    async with expanding(settings, tmp_path) as slot:
        await expansions.relay(world)
        found = await announced(settings, {last_number: 250})
        await eventually(lambda: _statuses(pool, slow), within=300)
        await eventually(lambda: _has_no_stage(pool, slow_number))
        assert slot.role.met.total() == 0
    assert (
        await sql(pool).fetchval("SELECT status_reason FROM campaigns WHERE id = $1", slow)
        == "expansion-failed: QueryCanceledError 57014"
    )
    assert await ordinals(pool, slow_number) == list(range(3 * PAGE))
    assert found.stops[last_number] == pages(250)
    assert (tmp_path / "expand.log").read_text().count("an audience cannot be made") == 1
    kinds = [kind for kind, _ in await world.events()]
    assert {"campaign.cancelled", "campaign.failed"} <= set(kinds)
    closed = await sql(pool).fetchval("SELECT count(*) FROM outbox WHERE topic = $1", Name.SENDING)
    assert closed == 1


async def _statuses(pool: Database, *campaigns: UUID) -> bool:
    cancelled = "SELECT count(*) FROM campaigns WHERE id = ANY($1) AND status = 'cancelled'"
    return int(await sql(pool).fetchval(cancelled, campaigns)) == len(campaigns)


async def test_a_campaign_cancelled_meanwhile_gets_no_more_pages(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    world, expansions = await make_world(pool, settings), Expansions(settings)
    campaign, number = await started(world, 1000)
    async with expanding(settings, tmp_path):
        async with pool.transaction() as held:
            await sql(held).execute("LOCK TABLE campaign_recipients IN SHARE MODE")
            await expansions.relay(world)
            await eventually(lambda: _is_writing(pool), within=300)
            await world.do(Verb.CANCEL, campaign)
        await eventually(lambda: _has_no_stage(pool, number), within=300)
    assert await ordinals(pool, number) == list(range(PAGE))
    assert (await asyncio.to_thread(read, settings)).stops[number] == [PAGE]


async def _is_writing(pool: Database) -> bool:
    """The worker waits for the lock on the ledger."""
    waiting = (
        "SELECT count(*) = 1 FROM pg_stat_activity"
        " WHERE application_name = 'campaigns-expand' AND wait_event_type = 'Lock'"
    )
    return bool(await sql(pool).fetchval(f"{waiting} AND datname = current_database()"))


async def _has_no_stage(pool: Database, number: int) -> bool:
    return bool(await sql(pool).fetchval("SELECT to_regclass($1) IS NULL", f"stage_{number}"))


@pytest.mark.parametrize(
    "change",
    [
        {"number": 0},
        {"number": 2**47},
        {"campaign_id": "7"},
        {"start": -1},
        {"start": 200},
        {"total": MAX_ORDINAL + 2},
    ],
)
def test_a_record_out_of_range_is_not_ours(change: dict[str, object]) -> None:
    fields = {
        "tenant_id": "acme",
        "campaign_id": str(uuid4()),
        "number": 1,
        "total": 200,
        "start": 100,
    }
    assert parse(encode(Page(**fields))) == Page(**fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r".+"):
        parse(encode(Page(**fields | change)))  # type: ignore[arg-type]


def test_pages_follow_each_other_to_the_end() -> None:
    page = Page(tenant_id="acme", campaign_id=str(uuid4()), number=1, total=200, start=0)
    assert following(page, 100) == Page(
        tenant_id="acme", campaign_id=page.campaign_id, number=1, total=200, start=100
    )
    assert following(page, 200) is None
