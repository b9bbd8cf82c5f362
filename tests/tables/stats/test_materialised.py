"""Materialised stats are the live ones, never older ones, and the performance facts say the same as
the rows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from agents.jobs.job import JobContext
from agents.jobs.stats_refresh import due, refresh
from streams.records.analytics import record_id
from streams.records.stats import Counts, ShardStats, encode_stats
from streams.settings import Settings
from streams.topics import Name
from tables.database.connection import Database
from tables.stats.materialised import COLUMNS, stored
from tables.stats.totals import rates
from tables.stats.views import StatsView
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World

AT = datetime(2026, 1, 28, 9, tzinfo=UTC)


class Office:
    """A tenant's campaigns as rows, and live stats as the test says they are."""

    def __init__(self, world: World, database: Database) -> None:
        self.world, self.database = world, database
        self.view = StatsView(world.settings)

    async def campaign(self, **columns: Any) -> tuple[UUID, int]:
        """Id and number of a new campaign with these columns."""
        campaign_id = await self.world.created()
        sets = "".join(f", {name} = ${n}" for n, name in enumerate(columns, 2))
        number = await sql(self.world.pool).fetchval(
            f"UPDATE campaigns SET version = version{sets} WHERE id = $1 RETURNING number",
            campaign_id,
            *columns.values(),
        )
        return campaign_id, number

    async def completed(self, sent: int, skipped: int = 0) -> tuple[UUID, int]:
        counts = {"total_recipients": sent + skipped, "sent_count": sent, "skipped_count": skipped}
        return await self.campaign(status="completed", completed_at=datetime.now(UTC), **counts)

    async def variants(self, campaign_id: UUID, *names: str) -> None:
        for name in names:
            await sql(self.world.pool).execute(
                "INSERT INTO campaign_variants (campaign_id, variant_id, name, template_id, weight)"
                " VALUES ($1, $2, $2, $3, 50)",
                *(campaign_id, name, self.world.template),
            )

    async def declare(self, campaign_id: UUID, variant: str) -> None:
        statement = (
            "UPDATE campaign_variants SET is_winner = true"
            " WHERE campaign_id = $1 AND variant_id = $2"
        )
        await sql(self.world.pool).execute(statement, campaign_id, variant)

    def count(
        self,
        number: int,
        version: int,
        total: Counts,
        variants: Mapping[str, Counts] | None = None,
        shard: int = 0,
    ) -> None:
        put(self.view, number, version, total, variants, shard)

    async def refresh(
        self, *, is_early: bool = False, view: StatsView | None = None, at: datetime | None = None
    ) -> int:
        context = JobContext(
            self.database, self.world.settings, view or self.view, at or datetime.now(UTC), is_early
        )
        return (await refresh(context))["campaigns"]

    async def row(self, campaign_id: UUID, variant: str | None = None) -> dict[str, Any]:
        statement = (
            "SELECT * FROM campaign_stats"
            " WHERE campaign_id = $1 AND variant_id IS NOT DISTINCT FROM $2"
        )
        async with self.world.pool.transaction() as connection:
            return dict(await sql(connection).fetchrow(statement, campaign_id, variant) or {})

    async def facts(self) -> list[dict[str, Any]]:
        """What is in the outbox for the topic, in order, as one mapping each with the record's `id`
        and `key`.
        """
        rows = await sql(self.world.pool).fetch(
            "SELECT * FROM outbox WHERE topic = $1 ORDER BY seq", Name.PERFORMANCE
        )
        found = []
        for row in rows:
            value = msgspec.json.decode(row["payload"])
            assert (value["type"], row["type"], value["tenantId"]) == (
                "campaign.performance",
                "campaign.performance",
                "acme",
            )
            found.append({**value["data"], "id": row["event_id"], "key": row["key"]})
        return found


def put(
    view: StatsView,
    number: int,
    version: int,
    total: Counts,
    variants: Mapping[str, Counts] | None = None,
    shard: int = 0,
) -> None:
    hours = {"492393": (total.opened, total.clicked)}
    value = ShardStats(
        "acme",
        number,
        shard,
        version,
        total,
        "2026-01-28T09:00:00.000Z",
        None,
        dict(variants or {}),
        hours,
        {"erased": 1},
    )
    view.put(b"%d:%d" % (number, shard), encode_stats(value))


@pytest.fixture
async def office(world: World, sql_settings: Settings) -> AsyncIterator[Office]:
    database = Database(sql_settings, "test", max_size=4)
    yield Office(world, database)
    await database.close()


SMALL, LARGE = (
    Counts(100, 90, 30, 8, 2, 1, 1, 1, 5, 2, 3, 4, 99),
    Counts(200, 180, 70, 20, 4, 2, 2, 2, 9, 3, 6, 8, 197),
)


async def test_rows_are_the_live_stats_of_the_campaign_and_of_each_variant(office: Office) -> None:
    campaign_id, number = await office.campaign(total_recipients=312)
    office.count(number, 7, LARGE, {"A": SMALL, "B": SMALL})
    office.count(number, 5, SMALL, {"B": SMALL}, shard=1)
    assert await office.refresh(at=AT) == 1
    live = office.view.campaign(number)
    for variant, counts, recipients in (
        (None, live.total, 312),
        ("A", live.variants["A"], 104),
        ("B", live.variants["B"], 208),
    ):
        row = await office.row(campaign_id, variant)
        assert {name: row[column] for name, column in COLUMNS.items()} == msgspec.structs.asdict(
            counts
        )
        assert (row["total_recipients"], row["updated_at"], row["live_version"]) == (
            recipients,
            AT,
            12,
        )
    async with office.world.pool.transaction() as connection:
        assert await stored(connection, campaign_id) == live
    assert await office.refresh() == 0  # nothing new


async def test_performance_facts_say_what_the_rows_say(office: Office) -> None:
    campaign_id, number = await office.campaign(total_recipients=312)
    office.count(number, 7, LARGE, {"A": SMALL, "B": LARGE})
    await office.refresh(at=AT)
    facts = await office.facts()
    assert [fact.get("variantId") for fact in facts] == [None, "A", "B"]
    for fact in facts:
        row = await office.row(campaign_id, fact.get("variantId"))
        camel = {
            column: column.split("_")[0] + "".join(part.title() for part in column.split("_")[1:])
            for column in COLUMNS.values()
        }
        assert {column: fact[camel[column]] for column in COLUMNS.values()} == {
            column: row[column] for column in COLUMNS.values()
        }
        counts = Counts(**{name: row[column] for name, column in COLUMNS.items()})
        assert (fact["openRate"], fact["clickRate"], fact["bounceRate"]) == msgspec.structs.astuple(
            rates(counts)
        )
        assert fact["totalRecipients"] == row["total_recipients"]
        assert (fact["key"], fact["campaignId"], fact["revision"], fact["isComplete"]) == (
            str(campaign_id),
            str(campaign_id),
            1,
            False,
        )
        assert fact["id"] == record_id(campaign_id, 1, fact.get("variantId"))
        assert "isWinner" not in fact and fact["at"] == "2026-01-28T09:00:00.000Z"


async def test_a_winner_is_said_as_soon_as_it_is_known_even_when_no_count_changes(
    office: Office,
) -> None:
    campaign_id, number = await office.campaign(total_recipients=100)
    await office.variants(campaign_id, "A", "B")
    office.count(number, 7, LARGE, {"A": SMALL, "B": SMALL})
    await office.refresh()
    await office.declare(campaign_id, "B")
    assert await office.refresh() == 1
    assert [
        (fact["revision"], fact.get("variantId"), fact.get("isWinner"))
        for fact in (await office.facts())[3:]
    ] == [
        (2, None, None),
        (2, "A", False),
        (2, "B", True),
    ]
    assert await office.refresh() == 0


async def test_a_slow_second_writer_overwrites_nothing_newer(office: Office) -> None:
    campaign_id, number = await office.campaign(total_recipients=200)
    slow = StatsView(office.world.settings)
    put(slow, number, 5, SMALL, {"A": SMALL})
    office.count(number, 9, LARGE, {"A": LARGE})
    assert await office.refresh() == 1
    assert await office.refresh(view=slow) == 0
    assert (
        (await office.row(campaign_id))["sent_count"]
        == (await office.row(campaign_id, "A"))["sent_count"]
        == LARGE.sent
    )


@pytest.mark.parametrize("seed", range(3))
async def test_rows_of_two_writers_only_go_forward_and_each_change_is_written_once(
    office: Office, seed: int
) -> None:
    chance = random.Random(seed)
    campaigns = [await office.campaign(total_recipients=1_000) for _ in range(5)]
    views, written = [StatsView(office.world.settings) for _ in range(2)], 0
    newest = dict[int, int]()
    for _ in range(8):
        for view in views:
            for _, number in chance.sample(campaigns, 3):
                newest[number] = version = newest.get(number, 0) + 1
                put(view, number, version, Counts(sent=version), {"A": Counts(sent=version)})
        written += sum(await asyncio.gather(*(office.refresh(view=view) for view in views)))
    facts = await office.facts()
    assert len(facts) == 2 * written and len({fact["id"] for fact in facts}) == len(facts)
    for campaign_id, number in campaigns:
        mine = [
            fact for fact in facts if fact["key"] == str(campaign_id) and "variantId" not in fact
        ]
        assert [fact["sentCount"] for fact in mine] == sorted({fact["sentCount"] for fact in mine})
        assert [fact["revision"] for fact in mine] == list(range(1, len(mine) + 1))
        assert (
            (await office.row(campaign_id))["sent_count"]
            == (await office.row(campaign_id, "A"))["sent_count"]
            == newest[number]
        )


async def test_a_completed_campaign_is_due_until_its_complete_counts_are_materialised(
    office: Office,
) -> None:
    running, other = await office.campaign(status="running", total_recipients=100)
    campaign_id, number = await office.completed(sent=96, skipped=4)
    office.count(other, 3, SMALL)
    office.count(number, 3, Counts(sent=95, skipped=4))
    assert await sql(office.world.pool).fetchval(
        "SELECT completed_at FROM campaigns WHERE id = $1", campaign_id
    ) == await _due(office)
    assert await office.refresh(is_early=True) == 0  # the counts are on their way
    office.count(number, 4, Counts(sent=96, skipped=4))
    assert await office.refresh(is_early=True) == 1
    row = await office.row(campaign_id)
    assert (row["sent_count"], row["skipped_count"], row["is_complete"]) == (96, 4, True)
    assert (
        await _due(office) is None and await office.row(running) == {}
    )  # an early run is nobody else's turn
    assert [(fact["isComplete"], fact["status"]) for fact in await office.facts()] == [
        (True, "completed")
    ]


async def test_a_campaign_that_reached_nobody_is_complete_at_once(office: Office) -> None:
    campaign_id, _ = await office.completed(sent=0)
    assert await office.refresh(is_early=True) == 1
    assert (await office.row(campaign_id))["is_complete"]


async def test_one_that_was_completed_while_nobody_looked_is_found_by_the_turn(
    office: Office,
) -> None:
    campaign_id, number = await office.completed(sent=100)
    await sql(office.world.pool).execute(
        "UPDATE campaigns SET completed_at = now() - interval '1 hour' WHERE id = $1", campaign_id
    )
    office.count(number, 3, Counts(sent=100))
    assert await _due(office) is None
    assert await office.refresh() == 1 and (await office.row(campaign_id))["is_complete"]


async def test_a_series_is_the_sum_of_its_children(office: Office) -> None:
    series, _ = await office.campaign(type="recurring", status="running")
    numbers = [
        (await office.campaign(parent_id=series, total_recipients=total))[1] for total in (104, 208)
    ]
    office.count(numbers[0], 4, SMALL)
    office.count(numbers[1], 9, LARGE)
    assert await office.refresh() == 3
    row, live = await office.row(series), office.view.campaign(*numbers)
    assert {name: row[column] for name, column in COLUMNS.items()} == msgspec.structs.asdict(
        live.total
    )
    assert (row["total_recipients"], row["live_version"]) == (312, 13)
    office.count(numbers[0], 5, LARGE)
    assert await office.refresh() == 2
    assert (await office.row(series))["sent_count"] == 2 * LARGE.sent
    assert {fact.get("parentId") for fact in await office.facts()} == {None, str(series)}


async def test_thousands_of_changed_campaigns_are_written_once(
    office: Office,
) -> None:
    pool: Database = office.world.pool
    template, _ = await office.campaign()
    numbers = await sql(pool).fetch(
        "INSERT INTO campaigns (tenant_id, name, channel, created_by, total_recipients)"
        " SELECT tenant_id, name, channel, created_by, 100"
        " FROM campaigns, generate_series(1, 3000) WHERE id = $1 RETURNING number",
        template,
    )
    for row in numbers:
        office.count(row["number"], 1, SMALL)
    assert await office.refresh() == 3000
    assert await office.refresh() == 0


async def _due(office: Office) -> datetime | None:
    async with office.world.pool.transaction() as connection:
        found = await due(connection)
    assert found is None or datetime.now(UTC) - found < timedelta(minutes=5)
    return found
