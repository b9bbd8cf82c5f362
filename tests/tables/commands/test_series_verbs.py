"""Pausing, resuming, cancelling and ending a series act on it and on its children."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from streams.contracts.commands import Verb
from streams.errors import ConflictError
from streams.records.sending import LimitsChanged, decode_sending
from tables.audience.recipients import list_recipients
from tables.campaigns.campaign import get_campaign
from tests.tables.campaigns.campaign_world import World
from tests.tables.campaigns.series_world import (
    HOURLY,
    MINUTE,
    Make,
    act,
    child,
    children,
    column,
    due,
    finish,
    hour,
    series,
    start_due,
    trigger,
)


async def test_a_series_does_not_count_towards_the_five_and_its_children_do(
    world: World, make: Make
) -> None:
    ids = [await series(world, hour() + MINUTE, name=f"n{n}") for n in range(6)]
    assert await start_due(make, hour(1)) == {"started": 5, "waiting": 1}
    with pytest.raises(ConflictError, match="the limit is 5"):
        await world.started()
    statuses = [(await children(world, one))[0][1] for one in ids]
    assert sorted(statuses) == ["running"] * 5 + ["scheduled"]
    assert await start_due(make, hour(2) + MINUTE) == {"waiting": 6}
    await world.do(
        Verb.CANCEL,
        next(
            one
            for one, status in zip(
                [await child(world, one, 1) for one in ids], statuses, strict=True
            )
            if status == "running"
        ),
    )
    # what has waited so long is overtaken by the next occurrence
    assert await start_due(make, hour(2) + MINUTE) == {"superseded": 1, "started": 1, "waiting": 1}


async def test_pausing_a_series_pauses_its_children_and_skips_what_comes_due_and_resuming_goes_on(
    world: World, make: Make
) -> None:
    series_id = await series(world, hour() + MINUTE)
    await start_due(make, hour(1))
    await trigger(make, hour(1))
    by_hand = await world.started(name="other")
    await world.do(Verb.PAUSE, by_hand)
    paused = await act(world, Verb.PAUSE, series_id, hour(1) + 10 * MINUTE, reason="lunch")
    assert (paused["status"], paused["statusReason"]) == ("paused", "lunch")
    assert await children(world, series_id) == [(1, "paused"), (2, "scheduled")]
    assert await column(world, await child(world, series_id, 1), "status_reason") == "lunch"
    assert await trigger(make, hour(4)) == {}
    assert await start_due(make, hour(4)) == {}
    assert await due(world) is None
    resumed = await act(world, Verb.RESUME, series_id, hour(4) + 10 * MINUTE)
    assert resumed["status"] == "running"
    assert await children(world, series_id) == [(1, "running"), (2, "cancelled"), (5, "scheduled")]
    assert await column(world, await child(world, series_id, 2), "status_reason") == "series-paused"
    assert await column(world, by_hand, "status") == "paused"
    kinds = [kind for kind, event in await world.events() if event["campaignId"] == str(series_id)]
    assert kinds == ["campaign.created", "campaign.started", "campaign.paused", "campaign.resumed"]


async def test_resuming_leaves_what_a_person_has_paused_and_is_refused_when_there_is_no_room(
    world: World, make: Make
) -> None:
    series_id = await series(world, hour() + MINUTE)
    for offset in (1, 2):
        await start_due(make, hour(offset))
        await trigger(make, hour(offset))
    await world.do(Verb.PAUSE, await child(world, series_id, 1))
    await act(world, Verb.PAUSE, series_id, hour(2) + MINUTE)
    others = [await world.started(name=f"n{n}") for n in range(5)]
    with pytest.raises(
        ConflictError,
        match=r"5 campaigns of this tenant are running and 1 of this series.*limit is 5",
    ):
        await act(world, Verb.RESUME, series_id, hour(2) + 2 * MINUTE)
    assert await column(world, series_id, "status") == "paused"
    await world.do(Verb.CANCEL, others[0])
    await act(world, Verb.RESUME, series_id, hour(2) + 2 * MINUTE)
    assert (await children(world, series_id))[:2] == [(1, "paused"), (2, "running")]


async def test_cancelling_a_series_cancels_its_children_and_says_so_to_each(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    series_id = await series(world, hour() + MINUTE)
    await start_due(make, hour(1))
    await trigger(make, hour(1))
    caplog.set_level(logging.INFO)
    await act(world, Verb.CANCEL, series_id, hour(1) + MINUTE)
    assert await children(world, series_id) == [(1, "cancelled"), (2, "cancelled")]
    moves = [vars(record) for record in caplog.records if record.message.startswith("[LIFECYCLE]")]
    assert sorted(move["fromStatus"] for move in moves) == ["running", "running", "scheduled"]
    internal = [
        value["type"] for topic, _, value in await world.outbox() if topic == "campaigns.sending.v1"
    ]
    assert internal == ["cancelled"]  # of the child that had started
    assert [kind for kind, _ in await world.events()].count("campaign.cancelled") == 3
    assert await trigger(make, hour(3)) == await start_due(make, hour(3)) == {}
    await world.do(Verb.DELETE, series_id)


@pytest.mark.parametrize("limit", [{"maxOccurrences": 2}, {"endAt": True}], ids=["count", "date"])
async def test_a_series_ends_by_count_or_date_and_is_completed_when_its_children_are(
    world: World, make: Make, limit: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    schedule = {**HOURLY, **({"endAt": hour(2).isoformat()} if "endAt" in limit else limit)}
    series_id = await series(world, hour() + MINUTE, schedule)
    assert await trigger(make, hour(1)) == {"children": 1}
    assert await column(world, series_id, "next_occurrence_at") is None
    assert await due(world) is None
    await start_due(make, hour(1))
    await start_due(make, hour(2))
    assert await children(world, series_id) == [(1, "running"), (2, "running")]
    await finish(world, await child(world, series_id, 1), 9, hour(3))
    assert await trigger(make, hour(3)) == {}
    await finish(world, await child(world, series_id, 2), 19, hour(3))
    wanted = await due(world)
    assert wanted is not None
    assert wanted < hour(4)
    caplog.set_level(logging.INFO)
    assert await trigger(make, hour(4)) == {"completed": 1}
    assert await column(world, series_id, "status") == "completed"
    completed = [event for kind, event in await world.events() if kind == "campaign.completed"][-1]
    assert completed["campaignId"] == str(series_id)
    assert (completed["totalRecipients"], completed["sentCount"], completed["skippedCount"]) == (
        30,
        28,
        2,
    )
    assert [
        vars(record)["toStatus"]
        for record in caplog.records
        if record.message.startswith("[LIFECYCLE]")
    ] == ["completed"]
    assert await trigger(make, hour(5)) == {}
    async with world.pool.transaction() as connection:
        listed = await list_recipients(
            connection, await get_campaign(connection, world.tenant, series_id)
        )
    assert (listed.recipients, listed.total) == ([], 0)  # they are its children's


async def test_an_occurrence_cancelled_before_it_starts_does_not_count(
    world: World, make: Make
) -> None:
    series_id = await series(world, hour() + MINUTE, {**HOURLY, "maxOccurrences": 1})
    await world.do(Verb.CANCEL, await child(world, series_id, 1))
    assert await trigger(make, hour() + 2 * MINUTE) == {}
    assert await column(world, series_id, "next_occurrence_at") == hour(2)
    assert await trigger(make, hour(1)) == {"children": 1}
    assert await children(world, series_id) == [(1, "cancelled"), (2, "scheduled")]
    assert await column(world, series_id, "next_occurrence_at") is None


async def test_a_new_limit_of_a_child_reaches_the_throttle(world: World, make: Make) -> None:
    series_id = await series(world, hour() + MINUTE)
    await start_due(make, hour(1))
    await world.do(
        Verb.UPDATE, await child(world, series_id, 1), {"throttleConfig": {"messagesPerHour": 100}}
    )
    changed = decode_sending(msgspec.json.encode((await world.outbox())[-1][2]))
    assert isinstance(changed, LimitsChanged)
