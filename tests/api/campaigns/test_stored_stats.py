"""Stats that are no longer live are answered from the materialised rows, as they were."""

from __future__ import annotations

from datetime import UTC, datetime

from agents.jobs.job import JobContext
from agents.jobs.stats_refresh import refresh
from streams.records.stats import Counts
from streams.settings import Settings
from tables.database.connection import Database
from tables.stats.views import StatsView
from tests.api.campaigns.feeds import feed_stats
from tests.api.world import Rest
from tests.eventually import eventually
from tests.postgres import sql


async def test_stats_stay_as_they_were_when_the_live_ones_are_gone(
    live: Rest, settings: Settings
) -> None:
    running = await live.running()
    number = await sql(live.world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", running["id"]
    )
    url, view = f"/campaigns/{running['id']}/stats", live.services.stats
    nothing = (await live.admin.get(url)).json()["data"]
    assert (nothing["sentCount"], nothing["updatedAt"]) == (0, None)
    await feed_stats(
        settings,
        number,
        Counts(sent=90, delivered=80, opened=30, clicked=8, bounced=2, skipped=3),
        skipped={"erased": 3},
    )
    await eventually(lambda: view.knows(number))
    before = (await live.admin.get(url)).json()["data"]
    database = Database(settings, "test")
    assert await refresh(JobContext(database, settings, view, datetime.now(UTC))) == {
        "campaigns": 1,
        "sealed": 0,
    }
    await database.close()

    fresh = StatsView(settings)  # of a topic that was made anew
    fresh.ready.set()
    live.use(stats=fresh)
    assert (await live.admin.get(url)).json()["data"] == before
    assert (await live.stranger.get(url)).status_code == 404
    live.use(stats=view)
