"""A series makes one child per occurrence, once, whatever is killed or was down, and its rules are
checked when it is stored.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from streams.contracts.commands import Verb
from streams.errors import CampaignError, IllegalTransitionError
from tables.campaigns.campaign import list_campaigns
from tables.campaigns.occurrences import MARGIN
from tests.agents.jobs.contexts import contexts
from tests.environment import environment
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world
from tests.tables.campaigns.series_world import (
    DAY,
    HOUR,
    HOURLY,
    MINUTE,
    Make,
    act,
    child,
    children,
    column,
    due,
    hour,
    series,
    start_due,
    trigger,
)


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"type": "recurring"}, "recurringSchedule", "needs it"),
        ({"recurringSchedule": HOURLY}, "recurringSchedule", "one_time campaign has none"),
        (
            {"type": "triggered", "recurringSchedule": HOURLY},
            "recurringSchedule",
            "triggered campaign has none",
        ),
        (
            {"type": "recurring", "recurringSchedule": {"cron": "*/30 * * * *"}},
            "recurringSchedule.cron",
            "30 min apart, the limit is 60",
        ),
        (
            {"type": "recurring", "recurringSchedule": {"cron": "0 0 */28 2 MON#5"}},
            "recurringSchedule.cron",
            "in the year after",
        ),
        (
            {"type": "recurring", "recurringSchedule": {**HOURLY, "endAt": "2020-01-01T00:00:00"}},
            "recurringSchedule.endAt",
            "later than",
        ),
    ],
)
async def test_a_schedule_that_breaks_a_rule_is_refused_at_create_and_at_an_edit(
    world: World, change: dict[str, Any], field: str, rule: str
) -> None:
    campaign_id = await world.created()
    for verb, body, subject in (
        (Verb.CREATE, world.draft(**change), None),
        (Verb.UPDATE, change, campaign_id),
    ):
        with pytest.raises(CampaignError) as refused:
            await world.do(verb, subject, body)
        assert (refused.value.status, [wrong.field for wrong in refused.value.errors]) == (
            422,
            [field],
        )
        assert rule in refused.value.errors[0].message


async def test_a_schedule_is_stored_with_its_zone_and_its_end_as_an_instant(world: World) -> None:
    schedule = {"cron": " 0  9 * * 1 ", "endAt": "2099-06-01T00:00:00", "maxOccurrences": 3}
    campaign = await world.do(
        Verb.CREATE,
        body=world.draft(type="recurring", recurringSchedule=schedule, timezone="Europe/Berlin"),
    )
    stored = {
        "cron": "0 9 * * 1",
        "timezone": "Europe/Berlin",
        "endAt": "2099-05-31T22:00:00.000Z",
        "maxOccurrences": 3,
    }
    assert campaign["recurringSchedule"] == stored
    edited = await world.do(
        Verb.UPDATE,
        UUID(campaign["id"]),
        {"recurringSchedule": {"cron": "0 9 * * 2", "timezone": "Asia/Tokyo"}},
    )
    assert edited["recurringSchedule"] == {"cron": "0 9 * * 2", "timezone": "Asia/Tokyo"}
    for body in ({"recurringSchedule": None}, {"type": "one_time"}):
        with pytest.raises(CampaignError, match="recurringSchedule"):
            await world.do(Verb.UPDATE, UUID(campaign["id"]), body)
    edited = await world.do(
        Verb.UPDATE, UUID(campaign["id"]), {"type": "one_time", "recurringSchedule": None}
    )
    assert (edited["type"], edited["recurringSchedule"]) == ("one_time", None)


async def test_a_started_series_has_its_first_children_at_once_and_they_are_campaigns_of_their_own(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    copied = {
        "settings": {"fromName": "Acme", "fromEmail": "news@acme.example"},
        "throttleConfig": {"messagesPerHour": 500},
        "description": "News",
    }
    schedule = {"cron": "0 * * * *", "timezone": "Asia/Kathmandu"}
    series_id = await series(world, hour() + 9 * MINUTE, schedule, name="News", **copied)
    assert (
        await column(world, series_id, "status"),
        await column(world, series_id, "started_at"),
    ) == ("running", hour() + 9 * MINUTE)
    async with world.pool.transaction() as connection:
        [found], total = await list_campaigns(connection, "acme", parent_id=series_id)
        assert (await list_campaigns(connection, "acme"))[1] == 2
    assert total == 1
    occurrence = hour() + 15 * MINUTE  # Kathmandu is at UTC+5:45
    shown = (occurrence + timedelta(hours=5, minutes=45)).strftime("%Y-%m-%d %H:%M")
    assert (found.name, found.status, found.type, found.scheduled_at) == (
        f"News {shown}",
        "scheduled",
        "one_time",
        occurrence,
    )
    assert (found.throttle_config, found.description) == (copied["throttleConfig"], "News")
    assert found.settings == await column(world, series_id, "settings")
    assert (found.segment_ids, found.template_id, found.created_by) == (
        [world.segment],
        world.template,
        world.user,
    )
    assert (found.timezone, found.recurring_schedule, found.parent_id) == (
        "Asia/Kathmandu",
        None,
        series_id,
    )
    kinds = [(kind, event["campaignId"] == str(series_id)) for kind, event in await world.events()]
    assert kinds == [
        ("campaign.created", True),
        ("campaign.started", True),
        ("campaign.created", False),
        ("campaign.scheduled", False),
    ]
    assert not [
        topic for topic, kind, _ in await world.outbox() if not kind
    ]  # the series itself sends nothing
    moves = [vars(record) for record in caplog.records if record.message.startswith("[LIFECYCLE]")]
    assert [(move["fromStatus"], move["toStatus"]) for move in moves] == [
        ("draft", "running"),
        ("draft", "scheduled"),
    ]


async def test_the_hourly_job_makes_what_is_due_until_its_next_run_and_the_scheduler_starts_it(
    world: World, make: Make
) -> None:
    series_id = await series(world, hour() + MINUTE)
    assert await children(world, series_id) == [(1, "scheduled")]
    assert await due(world) == hour(2) - MARGIN
    assert await trigger(make, hour() + 50 * MINUTE) == {}
    assert await trigger(make, hour(2) - HOUR - MARGIN) == {"children": 1}
    assert await children(world, series_id) == [(1, "scheduled"), (2, "scheduled")]
    assert await start_due(make, hour(1) - MINUTE) == {}
    assert await start_due(make, hour(1)) == {"started": 1}
    assert await children(world, series_id) == [(1, "running"), (2, "scheduled")]
    await world.do(
        Verb.UPDATE, series_id, {"name": "Better", "throttleConfig": {"messagesPerHour": 700}}
    )
    assert await trigger(make, hour(2)) == {"children": 1}
    later = await child(world, series_id, 3)
    assert (await column(world, later, "name")).startswith("Better 20")
    assert await column(world, later, "throttle_config") == {"messagesPerHour": 700}
    assert not [
        value for topic, _, value in await world.outbox() if topic == "campaigns.sending.v1"
    ]
    with pytest.raises(IllegalTransitionError, match="recurringSchedule can no longer be changed"):
        await world.do(
            Verb.UPDATE, series_id, {"recurringSchedule": {"cron": "0 9 * * *", "timezone": "UTC"}}
        )


async def test_two_jobs_at_once_and_repeats_make_each_child_once(world: World, make: Make) -> None:
    others = [await make_world(world.pool, world.settings, f"tenant-{n}") for n in range(6)]
    ids = [await series(other, hour() + MINUTE) for other in others]
    async with contexts(world.settings) as second:
        for offset in range(1, 4):
            runs = await asyncio.gather(
                *(trigger(maker, hour(offset)) for maker in (make, second, make, second))
            )
            assert sum(run.get("children", 0) for run in runs) == len(ids)
    assert [await children(world, one) for one in ids] == [
        [(n, "scheduled") for n in range(1, 5)]
    ] * len(ids)
    one = await child(world, ids[0], 1)
    statement = (
        "INSERT INTO campaigns (tenant_id, name, channel, created_by, parent_id, occurrence_at)"
        " SELECT tenant_id, name, channel,"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        await sql(world.pool).execute(
            f"{statement} created_by, parent_id, occurrence_at FROM campaigns WHERE id = $1", one
        )


async def test_after_an_outage_one_missed_occurrence_is_sent_and_it_is_the_latest(
    world: World, make: Make
) -> None:
    series_id = await series(world, hour() + MINUTE)
    await trigger(make, hour() + 56 * MINUTE)
    assert await children(world, series_id) == [(1, "scheduled"), (2, "scheduled")]
    at = hour(6) + 10 * MINUTE  # 1 to 6 have been missed, 1 and 2 are there
    assert await start_due(make, at) == {"superseded": 2}
    assert await start_due(make, at) == {"started": 1}
    expected = [(1, "cancelled"), (2, "cancelled"), (6, "running"), (7, "scheduled")]
    assert await children(world, series_id) == expected
    assert (
        await column(world, await child(world, series_id, 1), "status_reason")
        == "missed-occurrence"
    )
    assert await trigger(make, at) == {}
    assert await children(world, series_id) == expected


async def test_an_occurrence_missed_by_more_than_max_lateness_is_not_sent(
    world: World, make: Make
) -> None:
    daily = {"cron": f"0 {hour(1).hour} * * *", "timezone": "UTC"}
    series_id = await series(world, hour() + MINUTE, daily, settings={"maxLateness": "PT10M"})
    assert await start_due(make, hour(1) + 20 * MINUTE) == {"missed": 1}
    assert await trigger(make, hour(1) + 3 * DAY + 20 * MINUTE) == {}
    assert await children(world, series_id) == [(1, "cancelled")]
    assert await column(world, series_id, "next_occurrence_at") == hour(1) + 4 * DAY
    assert await trigger(make, hour(1) + 5 * DAY + 5 * MINUTE) == {"children": 1}
    assert (await children(world, series_id))[1:] == [(1 + 5 * 24, "scheduled")]


async def test_a_scheduled_series_begins_at_its_time_with_the_occurrence_of_that_moment(
    world: World, make: Make
) -> None:
    campaign_id = await world.created(type="recurring", recurringSchedule=HOURLY)
    with pytest.raises(CampaignError, match=r"recurringSchedule\.endAt: must be later"):
        ends = {**HOURLY, "endAt": hour(2).isoformat()}
        other = await world.created(type="recurring", recurringSchedule=ends)
        await act(world, Verb.SCHEDULE, other, hour(), scheduledAt=hour(3).isoformat())
    await act(world, Verb.SCHEDULE, campaign_id, hour(), scheduledAt=hour(2).isoformat())
    assert await trigger(make, hour(1)) == {}
    assert await children(world, campaign_id) == []
    assert await start_due(make, hour(2)) == {"started": 1}
    assert await children(world, campaign_id) == [(2, "scheduled"), (3, "scheduled")]
    started = [event for kind, event in await world.events() if kind == "campaign.started"]
    assert (started[0]["totalRecipients"], started[0]["scheduledAt"][:13]) == (
        0,
        f"{hour(2):%Y-%m-%dT%H}",
    )
    assert await start_due(make, hour(2)) == {"started": 1}


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
async def test_kill_9_in_the_recurring_job_makes_the_child_once(
    world: World, make: Make, point: str
) -> None:
    series_id = await series(world, hour() + MINUTE)
    await sql(world.pool).execute(
        "UPDATE campaigns SET deleted_at = now() WHERE parent_id = $1", series_id
    )
    await sql(world.pool).execute("DELETE FROM campaigns WHERE parent_id = $1", series_id)
    await sql(world.pool).execute(
        "UPDATE campaigns SET next_occurrence_at = $2 WHERE id = $1", series_id, hour(1)
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.agents.processes.job_process", "recurring"),
        (hour() + 2 * MINUTE).isoformat(),
        env=environment(world.settings, CAMPAIGNS_CRASH=f"recurring:{point}:1"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == -9, said.decode()
    made = int(point == "after-commit")
    assert len(await children(world, series_id)) == made
    assert (await trigger(make, hour() + 2 * MINUTE)).get("children", 0) == 1 - made
    assert await children(world, series_id) == [(1, "scheduled")]


async def test_a_child_has_the_ab_test_of_the_series_as_its_own(world: World) -> None:
    test = {
        "variants": [
            {"variantId": name, "name": name, "subject": name, "weight": 50} for name in "AB"
        ],
        "winnerCriteria": "open_rate",
        "testDurationHours": 1,
        "testSamplePercent": 20,
    }
    series_id = await series(world, hour() + MINUTE, abTestConfig=test)
    first = await child(world, series_id, 1)
    assert await column(world, first, "ab_test_config") == await column(
        world, series_id, "ab_test_config"
    )
    rows = await sql(world.pool).fetch(
        "SELECT variant_id, subject, weight, template_id"
        " FROM campaign_variants WHERE campaign_id = $1",
        first,
    )
    assert sorted(tuple(row) for row in rows) == [
        ("A", "A", 50, world.template),
        ("B", "B", 50, world.template),
    ]


async def test_a_scheduled_series_cannot_be_made_to_end_before_it_begins(world: World) -> None:
    campaign_id = await world.created(type="recurring", recurringSchedule=HOURLY)
    begins = {"scheduledAt": hour(30).isoformat()}
    await world.do(Verb.SCHEDULE, campaign_id, begins, at=hour())
    with pytest.raises(
        CampaignError, match=r"recurringSchedule\.endAt: must be later than the beginning"
    ):
        await world.do(
            Verb.UPDATE,
            campaign_id,
            {"recurringSchedule": {**HOURLY, "endAt": hour(20).isoformat()}},
            at=hour(),
        )
