"""Commands on a real broker: every one gets one result, whatever it is and whatever is killed, and
the stream goes on.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from connectors.local.engines.engine import RunningEngine
from streams.contracts.envelope import encode
from streams.records.sending import Finished, SampleSent
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.database.connection import Database
from tests.agents.processes.control_workers import Written, has_said, process, produce, read
from tests.eventually import eventually
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

POINTS = (
    "commands:carried-out:1",
    "commands:begun:1",
    "commands:before-commit:1",
    "commands:after-commit:1",
)


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    pool = Database(settings)
    yield await make_world(pool, settings)
    await pool.close()


def command(
    verb: str, data: object, correlation_id: str = "", tenant: str = "acme"
) -> tuple[str, bytes, dict[str, str]]:
    value = {
        "version": "1.0",
        "source": "crm",
        "tenantId": tenant,
        "correlationId": correlation_id or str(uuid4()),
        "data": data,
    }
    return tenant, json.dumps(value).encode(), {"type": f"campaign.{verb}"}


async def results(settings: Settings, count: int, within: float = 300) -> list[Written]:
    """The first `count` results."""

    async def enough() -> list[Written] | None:
        found = await asyncio.to_thread(read, settings, Name.COMMAND_RESULTS)
        return found if len(found) >= count else None

    return await eventually(enough, within=within) or []


def create(world: World, **more: Any) -> dict[str, Any]:
    return world.draft(createdBy=str(world.user), **more)


async def test_a_campaign_is_created_started_paused_and_cancelled_by_commands(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    async with process(settings, "commands", tmp_path):
        produce(settings, Name.COMMANDS, [command("create", create(world), "c-1")])
        [created] = await results(settings, 1)
        campaign_id = created.value["data"]["campaignId"]
        verbs = ("start", "pause", "resume", "cancel", "resume", "delete")
        produce(
            settings,
            Name.COMMANDS,
            [
                command(verb, {"campaignId": campaign_id}, f"c-{verb}-{n}")
                for n, verb in enumerate(verbs)
            ],
        )
        found = await results(settings, 7)
    assert created.value["data"] == {
        "command": "campaign.create",
        "accepted": True,
        "campaignId": campaign_id,
    }
    assert (created.value["tenantId"], created.value["correlationId"], created.key) == (
        "acme",
        "c-1",
        "acme",
    )
    assert created.headers["type"] == "campaign.command-result"
    assert {record.partition for record in found} == {Topics(settings).partition("acme")}
    answers = [
        (record.value["data"]["command"], record.value["data"]["accepted"]) for record in found[1:]
    ]
    assert answers == [(f"campaign.{verb}", n != 4) for n, verb in enumerate(verbs)]
    error = found[5].value["data"]["error"]
    assert (error["status"], error["type"]) == (409, "urn:campaigns:problem:illegal-transition")
    assert "cancelled" in error["detail"]
    assert error["correlationId"] == "c-resume-4"
    assert len({record.headers["id"] for record in found}) == 7


async def test_commands_set_nothing_going_from_a_domain_that_is_not_verified(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    strict = settings.model_copy(update={"sender_domains": "verified"})
    campaign_id = str(await world.created())
    at = {"scheduledAt": "2036-01-28T09:00:00Z"}
    async with process(strict, "commands", tmp_path):
        bodies = [("start", {}), ("schedule", at), ("update", {"name": "February"})]
        produce(
            settings,
            Name.COMMANDS,
            [command(verb, {"campaignId": campaign_id, **body}) for verb, body in bodies],
        )
        found = [record.value["data"] for record in await results(settings, len(bodies))]
    assert [one["accepted"] for one in found] == [False, False, True]
    for refused in found[:2]:
        [error] = refused["error"]["errors"]
        assert (refused["error"]["status"], error["field"]) == (422, "settings.fromEmail")
        assert "acme.example is not a verified sender domain" in error["message"]


async def test_kill_9_at_every_point_does_each_command_once_and_repeats_get_the_first_answer(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    async with process(settings, "commands", tmp_path, *POINTS) as slot:
        for n in range(len(POINTS)):
            batch = [
                command("create", create(world, name=f"batch {n}"), f"{n}-{i // 2}")
                for i in range(20)
            ]  # everything twice
            produce(settings, Name.COMMANDS, batch)
            found = await results(settings, 20 * (n + 1), within=300)
        assert slot.role.met.total() == len(POINTS)
    assert len(found) == 20 * len(POINTS)
    by_correlation = {record.value["correlationId"]: record.value["data"] for record in found}
    assert all(
        by_correlation[record.value["correlationId"]] == record.value["data"] for record in found
    )
    assert (
        await sql(world.pool).fetchval("SELECT count(*) FROM campaigns")
        == len(by_correlation)
        == 10 * len(POINTS)
    )
    assert len(await world.events()) == 10 * len(POINTS)


async def test_whatever_comes_in_gets_a_refusal_or_a_dead_letter_and_the_stream_goes_on(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    other = await make_world(world.pool, settings, "globex")
    foreign = str(await other.created())
    refused = [
        (command("explode", {}), 422),
        (command("start", {}), 422),
        (command("start", {"campaignId": foreign}), 404),
        (command("start", {"campaignId": str(uuid4())}), 404),
        (command("create", create(world), tenant="nobody"), 404),
        (command("create", create(world, segmentIds=[str(other.segment)])), 422),
        (command("create", create(world, throttleConfig={"messagesPerHour": 99})), 422),
        (command("create", create(world, name="\0")), 422),
        (command("create", create(world, type="recurring")), 422),
        (command("explode\0", {}), 422),
    ]
    dead = [
        ("acme", None, {"type": "campaign.start"}),
        ("acme", b"{not json", {"type": "campaign.start"}),
        ("acme", b"\xff\xfe", {}),
        ("acme", b'{"data":' + b'{"a":' * 50_000, {}),
        ("acme", b'{"tenantId":"acme","correlationId":"a\\u0000","data":{}}', {}),
        ("acme", b"\xff" + random.randbytes(1_900_000), {"huge": "\1" * 50_000}),
    ]
    async with process(settings, "commands", tmp_path) as slot:
        mixed = [
            entry
            for pair in zip([record for record, _ in refused], [*dead, *[dead[1]] * 4], strict=True)
            for entry in pair
        ]
        produce(settings, Name.COMMANDS, [*mixed, command("create", create(world), "last")])
        found = await results(settings, len(refused) + 1)
        assert not slot.exits
    data = [record.value["data"] for record in found if record.value["correlationId"] != "last"]
    assert sorted(entry["error"]["status"] for entry in data) == sorted(
        status for _, status in refused
    )
    assert all(not entry["accepted"] and entry["error"]["detail"] for entry in data)
    assert [
        record.value["data"]["accepted"]
        for record in found
        if record.value["correlationId"] == "last"
    ] == [True]
    letters = await asyncio.to_thread(read, settings, Name.DEAD_LETTERS)
    assert sorted(record.value["code"] for record in letters) == [
        "empty",
        "envelope",
        *["json"] * 8,
    ]
    assert all(
        record.value["reason"] and record.value["source"]["topic"].endswith(Name.COMMANDS)
        for record in letters
    )


async def test_commands_wait_for_a_database_that_is_away(
    world: World, settings: Settings, postgres_engine: RunningEngine, tmp_path: Path
) -> None:
    async with process(settings, "commands", tmp_path) as slot:
        produce(settings, Name.COMMANDS, [command("create", create(world), "before")])
        await results(settings, 1)
        postgres_engine.kill()
        produce(settings, Name.COMMANDS, [command("create", create(world), "during")])
        await eventually(lambda: has_said(tmp_path, "commands", "does not answer"), within=300)
        postgres_engine.start()  # not on a thread: the engine ends with the thread that started it
        found = await results(settings, 2, within=300)
        assert not slot.exits
    assert [record.value["data"]["accepted"] for record in found] == [True, True]
    assert "answers again" in (tmp_path / "commands.log").read_text()


async def test_a_finished_campaign_is_completed_once_and_what_is_no_milestone_is_put_aside(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    campaign_id = str(await world.started())
    number = await sql(world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1::text::uuid", campaign_id
    )
    at = datetime.now(UTC)
    sample = SampleSent(tenant_id="acme", campaign_id=campaign_id, number=number, at=at)
    finished = Finished(
        tenant_id="acme", campaign_id=campaign_id, number=number, sent=9, skipped=1, at=at
    )
    lost = Finished(tenant_id="acme", campaign_id=str(uuid4()), number=7, sent=9, skipped=1, at=at)
    values = [b"{}", encode(sample), encode(finished), encode(lost), encode(finished), b""]
    async with process(
        settings, "commands", tmp_path, "milestones:recorded:1", "milestones:before-commit:1"
    ) as slot:
        produce(settings, Name.MILESTONES, [(campaign_id, value, {}) for value in values])

        async def letters() -> bool:
            return len(await asyncio.to_thread(read, settings, Name.DEAD_LETTERS)) == 3

        await eventually(letters, within=300)
        assert slot.role.met.total() == 2
    row = await sql(world.pool).fetchrow(
        "SELECT status, sent_count, skipped_count, sample_sent_at FROM campaigns WHERE number = $1",
        number,
    )
    assert row is not None
    assert tuple(row) == ("completed", 9, 1, at)
    assert [kind for kind, _ in await world.events()].count("campaign.completed") == 1
    assert (tmp_path / "commands.log").read_text().count('"toStatus":"completed"') == 1
