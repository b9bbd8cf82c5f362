"""Every verb in every status, through REST and as a Kafka command: the status of the rules, one
event, one line, or 409 and nothing.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from streams.contracts.commands import Command, Verb, parse
from streams.contracts.fields import Status
from tables.commands import milestones
from tables.commands.answers import Answer
from tables.commands.execute import execute, run
from tests.api.world import Rest
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World
from tests.tables.campaigns.test_lifecycle import TABLE

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
AB_TEST = {
    "variants": [
        {"variantId": letter, "name": letter, "subject": letter, "weight": 50} for letter in "AB"
    ],
    "winnerCriteria": "open_rate",
    "testDurationHours": 4,
    "testSamplePercent": 20,
}
BODIES: dict[Verb, dict[str, Any]] = {
    Verb.UPDATE: {"name": "renamed"},
    Verb.SCHEDULE: {"scheduledAt": SOON},
    Verb.TRIGGER: {"contactIds": [str(uuid4())]},
    Verb.AB_TEST: AB_TEST,
    Verb.WINNER: {"variantId": "A"},
}
PATHS = {Verb.AB_TEST: "ab-test", Verb.WINNER: "ab-test/winner"}
# What is published, in this order; one event for each change of the row. A triggered campaign has
# started when it starts.
EVENTS = {
    Verb.UPDATE: ["updated"],
    Verb.SCHEDULE: ["scheduled"],
    Verb.START: ["started"],
    Verb.PAUSE: ["paused"],
    Verb.RESUME: ["resumed"],
    Verb.CANCEL: ["cancelled"],
    Verb.DELETE: ["deleted"],
    Verb.TRIGGER: [],
}
WAYS = {
    Status.DRAFT: (),
    Status.SCHEDULED: (Verb.SCHEDULE,),
    Status.RUNNING: (Verb.START,),
    Status.PAUSED: (Verb.START, Verb.PAUSE),
    Status.CANCELLED: (Verb.START, Verb.CANCEL),
    Status.COMPLETED: (Verb.START,),
}
NEEDS_A_TEST = (
    Verb.AB_TEST,
    Verb.WINNER,
    # whether a test may be made or decided is its own rules' matter,
    # tests/tables/campaigns/test_ab_tests.py
)


@dataclass(frozen=True)
class Seen:
    """What there is to see of a campaign: its row, and its public events in order."""

    status: str
    version: int
    is_deleted: bool
    events: tuple[str, ...]


async def bring(world: World, status: Status) -> UUID:
    """A triggered campaign in this status: it starts and is open at once, and every verb makes
    sense for it.
    """
    campaign_id = await world.created(type="triggered")
    for verb in WAYS[status]:
        await world.do(verb, campaign_id, BODIES.get(verb))
    if status is Status.COMPLETED:
        async with world.pool.transaction() as connection:
            await milestones.finished(
                connection, world.tenant, campaign_id, sent=0, skipped=0, at=datetime.now(UTC)
            )
    return campaign_id


async def seen(world: World, campaign_id: UUID) -> Seen:
    row = await sql(world.pool).fetchrow(
        "SELECT status, version, deleted_at FROM campaigns WHERE id = $1", campaign_id
    )
    assert row is not None
    kinds = (
        kind.removeprefix("campaign.")
        for kind, data in await world.events()
        if data["campaignId"] == str(campaign_id)
    )
    return Seen(row["status"], row["version"], row["deleted_at"] is not None, tuple(kinds))


def command(world: World, verb: Verb, campaign_id: UUID) -> Command:
    """As it is read from Kafka."""
    data = {**BODIES.get(verb, {}), "campaignId": str(campaign_id)}
    envelope = {
        "version": "1.0",
        "source": "crm",
        "tenantId": world.tenant,
        "correlationId": str(uuid4()),
        "data": data,
    }
    parsed = parse(msgspec.json.encode(envelope), f"campaign.{verb}")
    assert isinstance(parsed, Command)
    return parsed


async def by_rest(rest: Rest, verb: Verb, campaign_id: UUID) -> tuple[int, str]:
    """(status, detail of the refusal)."""
    path, body = f"/campaigns/{campaign_id}", BODIES.get(verb)
    match verb:
        case Verb.UPDATE:
            answer: httpx.Response = await rest.admin.patch(path, json=body)
        case Verb.DELETE:
            answer = await rest.admin.delete(path)
        case _:
            answer = await rest.admin.post(f"{path}/{PATHS.get(verb, verb)}", json=body)
    return answer.status_code, answer.json()["detail"] if answer.is_error else ""


async def by_kafka(rest: Rest, verb: Verb, campaign_id: UUID) -> tuple[int, str]:
    world = rest.world
    answer: Answer = await run(
        world.pool,
        world.settings,
        command(world, verb, campaign_id),
        scope="command",
        key=str(uuid4()),
    )
    return answer.status, answer.refusal.detail if answer.refusal else ""


WAYS_IN = {"rest": by_rest, "kafka": by_kafka}
VERBS = [verb for verb in Verb if verb is not Verb.CREATE]


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("status", list(Status))
async def test_every_verb_in_every_status_does_what_the_table_says_or_nothing(
    rest: Rest, status: Status, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for verb in VERBS:
        campaign_id, target = await bring(rest.world, status), TABLE.get((status, verb))
        before = await seen(rest.world, campaign_id)
        caplog.clear()
        answered, detail = await WAYS_IN[way](rest, verb, campaign_id)
        after, moves = await seen(rest.world, campaign_id), logged(caplog)
        if target is None:
            assert (answered, after, moves) == (409, before, []), (verb, detail)
            assert names_both_states(detail, status), detail
        elif verb in NEEDS_A_TEST:
            assert (answered, after, moves) == (422, before, []), (verb, detail)
        else:
            published = [
                *(["cancelled"] if target is not status and verb is Verb.DELETE else []),
                *EVENTS[verb],
            ]
            assert answered == {Verb.DELETE: 204, Verb.TRIGGER: 202}.get(verb, 200), (verb, detail)
            assert after == Seen(
                target,
                before.version + len(published),
                verb is Verb.DELETE,
                (*before.events, *published),
            ), verb
            assert moves == ([(str(status), str(target))] if target is not status else []), verb
        await sql(rest.world.pool).execute(
            "UPDATE campaigns SET status = 'cancelled'"
        )  # room for the next five


@pytest.mark.parametrize("status", list(Status))
async def test_a_change_that_is_not_committed_leaves_neither_row_nor_event(
    rest: Rest, status: Status
) -> None:
    world = rest.world
    for verb in VERBS:
        campaign_id = await bring(world, status)
        before = await seen(world, campaign_id), await world.outbox()
        async with world.pool.transaction() as connection:
            transaction = connection.begin_nested()
            await transaction.start()
            await execute(
                connection,
                world.settings,
                command(world, verb, campaign_id),
                scope="command",
                key="k",
            )
            await transaction.rollback()
        assert (await seen(world, campaign_id), await world.outbox()) == before, verb
        await sql(world.pool).execute("UPDATE campaigns SET status = 'cancelled'")


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """(fromStatus, toStatus) of the lines that say so."""
    lines = [
        vars(record)
        for record in caplog.records
        if record.message == "[LIFECYCLE] campaign status changed"
    ]
    assert all(line["tenantId"] and line["correlationId"] and line["campaignId"] for line in lines)
    return [(line["fromStatus"], line["toStatus"]) for line in lines]


def names_both_states(detail: str, status: Status) -> bool:
    """The one that the campaign is in, and one that it would have to be in or become."""
    return f"is {status}" in detail and len(set(re.findall("|".join(Status), detail))) >= 2
