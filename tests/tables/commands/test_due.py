"""Scheduled campaigns start when they are due, once, and whoever does not says why."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from agents.jobs.scheduler import SCHEDULER
from streams.contracts.commands import Command, Verb, parse
from streams.errors import CampaignError, IllegalTransitionError
from tables.commands.due import next_due
from tables.commands.execute import run
from tests.agents.jobs.contexts import contexts
from tests.environment import environment
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world
from tests.tables.campaigns.series_world import Make

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


async def scheduled(world: World, at: datetime, **more: Any) -> UUID:
    """A campaign scheduled for `at`, in the past, too: as if nobody had looked at it since."""
    campaign_id = await world.created(**more)
    await world.do(Verb.SCHEDULE, campaign_id, {"scheduledAt": (now() + DAY).isoformat()})
    await sql(world.pool).execute(
        "UPDATE campaigns SET scheduled_at = $2 WHERE id = $1", campaign_id, at
    )
    return campaign_id


async def start_due(make: Make, at: datetime | None = None) -> Mapping[str, int]:
    return {outcome: count for outcome, count in (await SCHEDULER.run(make(at))).items() if count}


async def row(world: World, campaign_id: UUID, *columns: str) -> tuple[Any, ...]:
    found = await sql(world.pool).fetchrow(
        f"SELECT {', '.join(columns)} FROM campaigns WHERE id = $1", campaign_id
    )
    assert found is not None
    return tuple(found)


async def due(world: World) -> datetime | None:
    async with world.pool.transaction() as connection:
        return await next_due(connection)


@pytest.mark.parametrize(
    ("body", "stored", "expected"),
    [
        (
            {"scheduledAt": "2030-01-28T09:00:00Z", "timezone": "America/New_York"},
            "UTC",
            "2030-01-28T09:00:00.000Z",
        ),
        (
            {"scheduledAt": "2030-01-28T09:00:00", "timezone": "America/New_York"},
            "UTC",
            "2030-01-28T14:00:00.000Z",
        ),
        ({"scheduledAt": "2030-01-28T09:00:00"}, "Europe/Berlin", "2030-01-28T08:00:00.000Z"),
        ({"scheduledAt": "2030-01-28T09:00:00"}, None, "2030-01-28T09:00:00.000Z"),
        ({"scheduledAt": "2030-03-31T02:30:00"}, "Europe/Berlin", "2030-03-31T01:00:00.000Z"),
        ({"scheduledAt": "2030-10-27T02:30:00"}, "Europe/Berlin", "2030-10-27T00:30:00.000Z"),
        ({"scheduledAt": "2030-01-28T09:00:00+05:30"}, "Europe/Berlin", "2030-01-28T03:30:00.000Z"),
    ],
)
async def test_a_local_time_is_resolved_in_the_zone_of_the_body_else_of_the_campaign_else_utc(
    world: World, body: dict[str, Any], stored: str | None, expected: str
) -> None:
    campaign_id = await world.created(timezone=stored)
    campaign = await world.do(Verb.SCHEDULE, campaign_id, body)
    assert (campaign["status"], campaign["scheduledAt"]) == ("scheduled", expected)
    assert campaign["timezone"] == body.get("timezone", stored or "UTC")
    kind, event = (await world.events())[-1]
    assert (kind, event["scheduledAt"], event["timezone"]) == (
        "campaign.scheduled",
        expected,
        campaign["timezone"],
    )
    edited = await world.do(
        Verb.UPDATE, campaign_id, {"scheduledAt": "2031-06-01T12:00:00", "timezone": "Asia/Tokyo"}
    )
    assert edited["scheduledAt"] == "2031-06-01T03:00:00.000Z"
    created = await world.do(Verb.CREATE, body=world.draft(**{"timezone": stored, **body}))
    assert (created["status"], created["scheduledAt"]) == ("draft", expected)


async def test_the_past_is_refused_by_schedule_and_by_an_edit_once_scheduled_and_stored_in_a_draft(
    world: World,
) -> None:
    past = {"scheduledAt": "2020-01-01T00:00:00"}
    campaign_id = await world.created(**past)
    await world.do(Verb.UPDATE, campaign_id, past)
    with pytest.raises(CampaignError, match="scheduledAt: must be in the future"):
        await world.do(Verb.SCHEDULE, campaign_id, past)
    await world.do(Verb.SCHEDULE, campaign_id, {"scheduledAt": (now() + HOUR).isoformat()})
    with pytest.raises(CampaignError, match="scheduledAt: must be in the future"):
        await world.do(Verb.UPDATE, campaign_id, {"scheduledAt": "2021-01-01T00:00:00"})
    with pytest.raises(CampaignError, match="years 1 and 9999"):
        await world.do(
            Verb.SCHEDULE,
            campaign_id,
            {"scheduledAt": "0001-01-01T00:00:00", "timezone": "Asia/Tokyo"},
        )
    await world.do(Verb.START, campaign_id)
    with pytest.raises(IllegalTransitionError, match="running and cannot become scheduled"):
        await world.do(Verb.SCHEDULE, campaign_id, {"scheduledAt": (now() + HOUR).isoformat()})


async def test_what_is_due_starts_like_a_start_by_hand_and_what_is_not_waits(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    at = now()
    early, late = await scheduled(world, at - HOUR), await scheduled(world, at + HOUR)
    assert await due(world) == at - HOUR
    assert await start_due(make, at) == {"started": 1}
    assert await row(world, early, "status", "started_at") == ("running", at)
    assert await row(world, late, "status") == ("scheduled",)
    assert await due(world) == at + HOUR
    topics = [
        topic for topic, _, value in await world.outbox() if topic == "campaigns.expansions.v1"
    ]
    assert len(topics) == 1
    moves = [vars(record) for record in caplog.records if record.message.startswith("[LIFECYCLE]")]
    assert [(move["fromStatus"], move["toStatus"]) for move in moves][-1:] == [
        ("scheduled", "running")
    ]
    assert await start_due(make, at) == {}
    assert await start_due(make, at + HOUR) == {"started": 1}
    assert await due(world) is None


async def test_two_schedulers_at_once_start_each_campaign_once(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    others = [await make_world(world.pool, world.settings, f"tenant-{n}") for n in range(4)]
    at = now()
    campaigns = [
        await scheduled(other, at - timedelta(seconds=n)) for other in others for n in range(5)
    ]
    async with contexts(world.settings) as second:
        runs = await asyncio.gather(
            *(start_due(maker, at) for maker in (make, second, make, second))
        )
    assert sum(run.get("started", 0) for run in runs) == len(campaigns)
    assert sum(topic == "campaigns.expansions.v1" for topic, _, _ in await world.outbox()) == len(
        campaigns
    )
    assert sum(
        record.message.startswith("[LIFECYCLE]") and vars(record)["toStatus"] == "running"
        for record in caplog.records
    ) == len(campaigns)
    assert {
        tuple(found)
        for found in await sql(world.pool).fetch("SELECT status, version FROM campaigns")
    } == {("running", 3)}


async def test_a_start_by_hand_and_the_scheduler_start_it_once(world: World, make: Make) -> None:
    at = now()
    for _ in range(10):
        campaign_id = await scheduled(world, at)
        answer, _ = await asyncio.gather(world.answer(Verb.START, campaign_id), start_due(make, at))
        assert answer.status in (200, 409)
        assert (await row(world, campaign_id, "status", "version")) == ("running", 3)
        await world.do(Verb.CANCEL, campaign_id)


async def test_the_sixth_waits_for_room_and_is_then_not_judged_late(
    world: World, make: Make
) -> None:
    at = now()
    campaigns = [await scheduled(world, at - 2 * HOUR + timedelta(seconds=n)) for n in range(8)]
    other = await make_world(world.pool, world.settings, "globex")
    await scheduled(other, at)
    assert await start_due(make, at) == {"started": 6, "waiting": 3}
    assert [(await row(world, one, "status"))[0] for one in campaigns] == ["running"] * 5 + [
        "scheduled"
    ] * 3
    before = await world.outbox()
    assert await start_due(make, at + 3 * DAY) == {}
    assert await world.outbox() == before
    assert await due(world) is None  # nothing can be done
    await world.do(Verb.CANCEL, campaigns[0])
    assert await due(world) == at - 2 * HOUR + timedelta(seconds=5)  # and now something can
    assert await start_due(make, at + 3 * DAY) == {"started": 1, "waiting": 1}
    assert await row(world, campaigns[5], "status", "waits_below") == ("running", None)
    await world.do(Verb.SCHEDULE, campaigns[6], {"scheduledAt": (now() + DAY).isoformat()})
    assert await row(world, campaigns[6], "waits_below") == (None,)


async def test_what_is_later_than_max_lateness_is_cancelled_and_says_so(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    at = now()
    a_day = await scheduled(world, at - DAY)
    too_late = await scheduled(world, at - DAY - timedelta(seconds=1))
    short = await scheduled(world, at - timedelta(minutes=11), settings={"maxLateness": "PT10M"})
    long = await scheduled(world, at - 7 * DAY, settings={"maxLateness": "P999999999D"})
    assert await start_due(make, at) == {"started": 2, "missed": 2}
    for campaign_id in (a_day, long):
        assert await row(world, campaign_id, "status") == ("running",)
    for campaign_id in (too_late, short):
        assert await row(world, campaign_id, "status", "status_reason") == (
            "cancelled",
            "missed-schedule",
        )
        said = [
            (kind, event)
            for kind, event in await world.events()
            if event["campaignId"] == str(campaign_id)
        ]
        assert [kind for kind, _ in said][-2:] == ["campaign.cancelled", "campaign.alert"]
        assert said[-2][1]["reason"] == said[-1][1]["reason"] == "missed-schedule"
        assert "nobody will get it" in said[-1][1]["detail"]
    assert [
        vars(record)["toStatus"]
        for record in caplog.records
        if record.message.startswith("[LIFECYCLE]")
    ].count("cancelled") == 2


async def test_a_campaign_without_its_template_or_segment_is_cancelled_with_the_reason_at_once(
    world: World, make: Make
) -> None:
    at = now()
    segment = await sql(world.pool).fetchval(
        "INSERT INTO segments (tenant_id, name) VALUES ('acme', 'gone') RETURNING id"
    )
    broken = await scheduled(world, at - HOUR, segmentIds=[str(segment)])
    empty = await scheduled(world, at - HOUR)
    good = await scheduled(world, at)
    await sql(world.pool).execute("DELETE FROM segments WHERE id = $1", segment)
    await sql(world.pool).execute("UPDATE campaigns SET template_id = NULL WHERE id = $1", empty)
    assert await start_due(make, at) == {"started": 1, "failed": 2}
    assert await row(world, good, "status") == ("running",)
    for campaign_id, reason in (
        (broken, "segmentIds: there is no segment"),
        (empty, "templateId: is needed"),
    ):
        status, why = await row(world, campaign_id, "status", "status_reason")
        assert (status, why.startswith(f"cannot-start: {reason}")) == ("cancelled", True)
        said = [
            (kind, event)
            for kind, event in await world.events()
            if event["campaignId"] == str(campaign_id)
        ]
        assert [kind for kind, _ in said][-2:] == ["campaign.cancelled", "campaign.failed"]
        assert said[-1][1]["reason"] == why
    assert await start_due(make, at) == {}


async def test_a_row_that_somebody_holds_is_left_to_the_next_run(world: World, make: Make) -> None:
    at = now()
    campaign_id = await scheduled(world, at)
    async with world.pool.transaction() as connection:
        await sql(connection).execute(
            "SELECT 1 FROM campaigns WHERE id = $1 FOR UPDATE", campaign_id
        )
        assert await start_due(make, at) == {"gone": 1}
    assert await start_due(make, at) == {"started": 1}


@pytest.mark.parametrize(
    ("point", "status"), [("before-commit", "scheduled"), ("after-commit", "running")]
)
async def test_kill_9_in_the_scheduler_starts_the_campaign_once(
    world: World, make: Make, point: str, status: str
) -> None:
    campaign_id = await scheduled(world, now() - timedelta(minutes=1))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.agents.processes.job_process", "scheduler"),
        env=environment(world.settings, CAMPAIGNS_CRASH=f"scheduler:{point}:1"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == -9, said.decode()
    assert await row(world, campaign_id, "status") == (status,)
    assert await start_due(make) == ({"started": 1} if status == "scheduled" else {})
    assert await row(world, campaign_id, "status", "version") == ("running", 3)
    assert sum(topic == "campaigns.expansions.v1" for topic, _, _ in await world.outbox()) == 1


async def test_the_kafka_command_does_the_same_as_the_route(world: World) -> None:
    campaign_id = await world.created()
    data = {
        "campaignId": str(campaign_id),
        "scheduledAt": "2030-01-28T09:00:00",
        "timezone": "America/New_York",
        "unknown": 1,
    }
    envelope = {"tenantId": "acme", "correlationId": "c-1", "data": data}
    for _ in range(2):  # a repeat gets the first answer
        command = parse(json.dumps(envelope).encode(), "campaign.schedule")
        assert isinstance(command, Command)
        answer = await run(
            world.pool, world.settings, command, scope="command", key=command.correlation_id
        )
        assert (answer.result() or {})["scheduledAt"] == "2030-01-28T14:00:00.000Z"
    assert await row(world, campaign_id, "status", "version") == ("scheduled", 2)
