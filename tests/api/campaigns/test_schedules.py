"""Scheduling and series over HTTP: roles, answers, why something waits, and sums over children."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from agents.jobs.job import JobContext
from agents.jobs.scheduler import SCHEDULER
from streams.records.stats import Counts, ShardStats, encode_stats
from streams.topics import Name
from tables.database.connection import Database
from tests.agents.processes.control_workers import produce
from tests.api.world import Rest
from tests.eventually import eventually
from tests.postgres import sql

LOCAL = {"scheduledAt": "2036-01-28T09:00:00", "timezone": "America/New_York"}
HOUR = timedelta(hours=1)


def hourly() -> dict[str, Any]:
    """A schedule whose next occurrence is half an hour away, so that none is due meanwhile."""
    minute = (datetime.now(UTC) + timedelta(minutes=30)).minute
    return {"cron": f"{minute} * * * *", "timezone": "Europe/Berlin"}


async def ask(
    client: Any, method: str, path: str, status: int, body: object = None, **more: Any
) -> dict[str, Any]:
    answer = await client.request(method, f"/campaigns{path}", json=body, **more)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def start_due(rest: Rest, at: datetime) -> dict[str, int]:
    database = Database(rest.world.settings, "scheduler")
    try:
        return dict(
            await SCHEDULER.run(JobContext(database, rest.world.settings, rest.services.stats, at))
        )
    finally:
        await database.close()


async def test_the_schedule_verb_takes_the_body_of_the_specification_and_local_times(
    rest: Rest,
) -> None:
    path = f"/{(await rest.draft())['id']}/schedule"
    for client, status in ((rest.nobody, 401), (rest.of["editor"], 403), (rest.stranger, 404)):
        await ask(client, "POST", path, status, LOCAL)
    answer = await rest.of["sender"].post(f"/campaigns{path}", json=LOCAL)
    campaign = answer.json()["data"]
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (campaign["status"], campaign["scheduledAt"], campaign["timezone"]) == (
        "scheduled",
        "2036-01-28T14:00:00.000Z",
        "America/New_York",
    )
    again = {"scheduledAt": "2036-01-28T09:00:00Z", "timezone": "America/New_York"}
    assert (await ask(rest.admin, "POST", path, 200, again))["data"][
        "scheduledAt"
    ] == "2036-01-28T09:00:00.000Z"
    await ask(rest.admin, "POST", path, 412, again, headers={"If-Match": '"2"'})


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({}, "scheduledAt", "required"),
        ({"scheduledAt": None}, "scheduledAt", "RFC 3339"),
        ({"scheduledAt": "2026-01-28T09:00:00Z"}, "scheduledAt", "in the future"),
        ({"scheduledAt": "2036-01-28"}, "scheduledAt", "RFC 3339"),
        ({"scheduledAt": "2036-02-30T09:00:00"}, "scheduledAt", "datetime"),
        ({**LOCAL, "timezone": "Mars/Olympus"}, "timezone", "IANA"),
        ({**LOCAL, "cron": "* * * * *"}, "cron", "not permitted"),
    ],
)
async def test_a_wrong_time_is_refused_with_field_and_rule(
    rest: Rest, body: dict[str, Any], field: str, rule: str
) -> None:
    campaign = await rest.draft()
    problem = await ask(rest.admin, "POST", f"/{campaign['id']}/schedule", 422, body)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert rule in problem["errors"][0]["message"]


async def test_a_running_campaign_cannot_be_scheduled(rest: Rest) -> None:
    campaign = await rest.running()
    assert (
        "running and cannot become scheduled"
        in (await ask(rest.admin, "POST", f"/{campaign['id']}/schedule", 409, LOCAL))["detail"]
    )


async def test_a_campaign_that_waits_for_room_says_so_in_every_answer(rest: Rest) -> None:
    for n in range(5):
        await rest.running(name=f"n{n}")
    campaign = await rest.draft()
    soon = datetime.now(UTC) + HOUR
    path = f"/{campaign['id']}"
    await ask(rest.admin, "POST", f"{path}/schedule", 200, {"scheduledAt": soon.isoformat()})
    assert (await ask(rest.admin, "GET", path, 200))["data"]["waiting"] is None
    assert (await start_due(rest, soon))["waiting"] == 1
    for shown in (
        (await ask(rest.admin, "GET", path, 200))["data"],
        (await ask(rest.admin, "GET", "?status=scheduled", 200))["data"][0],
    ):
        assert shown["status"] == "scheduled"
        assert shown["waiting"] == {"reason": "running-limit", "until": None}
    running = (await ask(rest.admin, "GET", "?status=running", 200))["data"][0]["id"]
    await ask(rest.admin, "POST", f"/{running}/cancel", 200)
    assert (await start_due(rest, soon))["started"] == 1
    assert (await ask(rest.admin, "GET", path, 200))["data"]["waiting"] != {
        "reason": "running-limit",
        "until": None,
    }


async def test_a_series_lists_its_children_and_what_comes_next(rest: Rest) -> None:
    campaign = await rest.draft(
        type="recurring", recurringSchedule={**hourly(), "maxOccurrences": 5}
    )
    path = f"/{campaign['id']}"
    ahead = (await ask(rest.admin, "GET", f"{path}/series", 200))["data"]
    assert (len(ahead["nextOccurrences"]), ahead["children"], ahead["occurrencesSent"]) == (
        5,
        [],
        0,
    )
    started = (await ask(rest.admin, "POST", f"{path}/start", 200))["data"]
    assert (started["status"], started["startedAt"] is not None) == ("running", True)
    seen = (await ask(rest.of["viewer"], "GET", f"{path}/series", 200))["data"]
    children = await ask(rest.admin, "GET", f"?parentId={campaign['id']}", 200)
    assert [child["id"] for child in children["data"]] == [
        child["id"] for child in seen["children"]
    ]
    first = seen["children"][-1]
    assert (first["parentId"], first["status"], first["type"]) == (
        campaign["id"],
        "scheduled",
        "one_time",
    )
    assert first["name"] == f"January {seen['nextOccurrences'][0]['local']}"
    assert first["scheduledAt"] == seen["nextOccurrences"][0]["at"]
    assert (await ask(rest.admin, "GET", path, 200))["data"]["waiting"] == {
        "reason": "not-before",
        "until": first["scheduledAt"],
    }
    await ask(rest.stranger, "GET", f"{path}/series", 404)
    assert (await ask(rest.stranger, "GET", f"?parentId={campaign['id']}", 200))["data"] == []
    await ask(rest.admin, "GET", "?parentId=nonsense", 422)
    other = await rest.draft()
    assert "one_time" in (await ask(rest.admin, "GET", f"/{other['id']}/series", 409))["detail"]
    assert "inFlight" in (await ask(rest.admin, "POST", f"{path}/pause", 200))["data"]
    assert (await ask(rest.admin, "POST", f"{path}/resume", 200))["data"]["status"] == "running"
    await ask(rest.admin, "POST", f"{path}/cancel", 200)
    over = (await ask(rest.admin, "GET", f"{path}/series", 200))["data"]
    assert (
        over["status"],
        over["nextOccurrences"],
        {child["status"] for child in over["children"]},
    ) == ("cancelled", [], {"cancelled"})


async def test_the_stats_of_a_series_are_the_sum_of_its_children(live: Rest) -> None:
    campaign = await live.draft(type="recurring", recurringSchedule=hourly())
    path = f"/{campaign['id']}"
    await ask(live.admin, "POST", f"{path}/start", 200)
    world, series_id = live.world, UUID(campaign["id"])
    for n in range(2):  # two children that have been sent
        await sql(world.pool).execute(
            "INSERT INTO campaigns (tenant_id, name, channel, created_by,"
            " parent_id, occurrence_at, started_at, status, total_recipients)"
            " VALUES ('acme', 'child', 'email', $1, $2, $3, $3, 'completed', 100)",
            *(uuid4(), series_id, datetime.now(UTC) - (n + 2) * HOUR),
        )
    rows = await sql(world.pool).fetch(
        "SELECT number FROM campaigns WHERE parent_id = $1 AND started_at IS NOT NULL", series_id
    )
    counts = Counts(sent=90, delivered=80, opened=40, clicked=10, skipped=10)
    shards = [
        ShardStats(
            tenant_id="acme",
            number=row["number"],
            shard=shard,
            version=1,
            total=counts,
            updated_at="2026-01-28T09:00:00.000Z",
        )
        for row, shard in ((rows[0], 0), (rows[1], 0))
    ]
    produce(
        world.settings,
        Name.STATS,
        [(f"{one.number}:{one.shard}", encode_stats(one), {}) for one in shards],
    )
    await eventually(
        lambda: live.services.stats.campaign(*(row["number"] for row in rows)).total.sent == 180,
        300,
    )
    stats = (await ask(live.admin, "GET", f"{path}/stats", 200))["data"]
    assert (
        stats["campaignId"],
        stats["totalRecipients"],
        stats["sentCount"],
        stats["deliveredCount"],
    ) == (campaign["id"], 200, 180, 160)
    assert (stats["openRate"], stats["clickRate"], stats["skippedCount"]) == (50.0, 12.5, 20)
    for shown in (
        (await ask(live.admin, "GET", path, 200))["data"],
        (await ask(live.admin, "GET", "?search=January", 200))["data"][-1],
    ):
        assert (
            shown["totalRecipients"],
            shown["progress"]["sent"],
            shown["progress"]["remaining"],
        ) == (200, 180, 0)
