"""Under a load of events, materialised stats go forward only and end as the truth, and the
published facts say the same.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from agents.counting.fold import SEALED
from agents.jobs.job import Job
from agents.jobs.jobs import Jobs
from agents.jobs.stats_refresh import REFRESH
from agents.sending.outbox_relay import OutboxRelay
from streams.settings import Settings
from streams.topics import Name
from tables.database.connection import Database
from tables.stats.materialised import COLUMNS
from tables.stats.totals import percent
from tests.agents.counting.reported import KEY, Sent, reports, truth
from tests.agents.counting.test_ingest_fold import log_of, producing, send, workers
from tests.agents.jobs.job_rows import completed, materialised
from tests.agents.processes.control_workers import Written, read
from tests.eventually import eventually
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import make_world

OFTEN = {"campaign-stats-refresh": Job(lambda _: timedelta(seconds=0.2), REFRESH.run, REFRESH.due)}
Counted = dict[tuple[int, str | None, str], int]


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    pool = Database(settings)
    yield pool
    await pool.close()


async def rows(pool: Database) -> Counted:
    """As the truth spells it."""
    found = await sql(pool).fetch(
        "SELECT c.number, s.* FROM campaign_stats s JOIN campaigns c ON c.id = s.campaign_id"
    )
    return {
        (row["number"], row["variant_id"], name): row[column]
        for row in found
        for name, column in COLUMNS.items()
    }


def newest(facts: list[Written], numbers: dict[str, int]) -> Counted:
    """What a reader holds who keeps the highest revision."""
    found: dict[tuple[int, str | None], dict[str, Any]] = {}
    for fact in (record.value["data"] for record in facts):
        key = numbers[fact["campaignId"]], fact.get("variantId")
        assert fact["revision"] > found.get(key, {"revision": 0})["revision"]  # each once, in order
        assert fact["openRate"] == percent(fact["openedCount"], fact["deliveredCount"])
        found[key] = fact
    spelled = {
        name: "complaintCount" if name == "complained" else _camel(name) + "Count"
        for name in COLUMNS
    }
    return {
        (number, variant, name): fact[spelled[name]]
        for (number, variant), fact in found.items()
        for name in COLUMNS
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.title, rest))


async def test_rows_and_facts_equal_the_truth_while_two_workers_refresh(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"message_keys": (SecretStr(KEY.hex()),)})
    world = await make_world(pool, settings)
    ids: dict[str, int] = {}
    for _ in range(3):
        campaign_id: UUID = await world.created()
        ids[str(campaign_id)] = await sql(pool).fetchval(
            "SELECT number FROM campaigns WHERE id = $1", campaign_id
        )
    first, second, third = ids.values()
    campaigns = [
        Sent("acme", first, 4000, has_variants=True),
        Sent("acme", second, 3000, start=64_000),
        Sent("acme", third, 1),
    ]
    events = reports(campaigns, random.Random(5))
    async with (
        workers(settings, tmp_path, ()),
        producing(settings) as producer,
        OutboxRelay(None, settings),
        Jobs(None, settings, OFTEN),
        Jobs(None, settings, OFTEN),
    ):
        await send(settings, producer, campaigns, [])
        before: Counted = {}

        async def have_moved() -> bool:
            return await rows(pool) != before

        for part in range(4):  # the rows are written in between, too
            await eventually(have_moved, within=300)
            before = await rows(pool)
            await send(settings, producer, [], events[part::4])
        expected = truth(campaigns, await asyncio.to_thread(log_of, settings, Name.INCOMING)).counts

        async def is_true() -> bool:
            return await rows(pool) == expected

        await eventually(is_true, within=300)
        await eventually(
            lambda: sql(pool).fetchval(
                "SELECT count(*) = 0 FROM outbox WHERE topic = $1", Name.PERFORMANCE
            )
        )
    facts = await asyncio.to_thread(read, settings, Name.PERFORMANCE)
    assert newest(facts, ids) == expected
    assert len(facts) > 10


async def test_a_campaign_that_is_long_quiet_keeps_its_counts_and_takes_no_more(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    settings = settings.model_copy(
        update={"message_keys": (SecretStr(KEY.hex()),), "stats_retention": timedelta(seconds=0.1)}
    )
    world = await make_world(pool, settings)
    quiet, running = await completed(world, sent=1900), await completed(world, sent=1900)
    await sql(pool).execute("UPDATE campaigns SET status = 'running' WHERE number = $1", running)
    campaigns = [Sent("acme", quiet, 2000, start=65_000), Sent("acme", running, 2000, start=65_000)]
    async with (
        workers(settings, tmp_path, ()) as slots,
        producing(settings) as producer,
        OutboxRelay(None, settings),
    ):
        await send(settings, producer, campaigns, [])
        async with Jobs(None, settings, OFTEN):
            sealed = (
                "SELECT s.sealed_at FROM campaign_stats s JOIN campaigns c ON c.id = campaign_id"
                " WHERE number = $1 AND s.sent_count = 1900"
            )
            await eventually(lambda: sql(pool).fetchval(sealed, quiet), within=300)

            def rows_of_shards() -> set[bytes]:
                newest = {record.key: record.value for record in log_of(settings, Name.FOLD_STATE)}
                return {key for key, value in newest.items() if key and value and SEALED in value}

            await eventually(lambda: asyncio.to_thread(rows_of_shards), within=300)
            assert len(rows_of_shards()) == 2  # both shards of the quiet one, none of the other
            await send(settings, producer, [], reports(campaigns, random.Random(6)))

            async def counted() -> bool:
                return bool((await materialised(pool, running)).get("delivered_count", 0) > 0)

            await eventually(counted, within=300)
            letters = await eventually(lambda: log_of(settings, Name.DEAD_LETTERS), within=300)
            assert {json.loads(letter.value or b"")["code"] for letter in letters} == {"sealed"}
            row = await materialised(pool, quiet)
            assert (row["sent_count"], row["skipped_count"], row["delivered_count"]) == (
                1900,
                100,
                0,
            )
        assert slots[0].exits == Counter()
