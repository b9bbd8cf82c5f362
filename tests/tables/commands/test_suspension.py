"""A suspended tenant: what runs pauses, what is scheduled waits, nothing begins, and everything
goes on afterwards where it stood.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from streams.contracts.commands import Verb
from streams.errors import (
    ConflictError,
    IllegalTransitionError,
    NotFoundError,
    TenantSuspendedError,
)
from tables.commands import suspension
from tables.commands.suspension import Suspension
from tables.tenants.audit import Author, list_entries
from tables.tenants.tenants import create_tenant
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world
from tests.tables.campaigns.series_world import HOUR, Make, child, hour, series, start_due, trigger
from tests.tables.commands.test_due import due, row, scheduled
from tests.tables.commands.test_due import start_due as start_all

BY: dict[str, Any] = {"by": Author("an operator"), "reason": "invoice unpaid"}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


async def suspend(world: World, at: datetime | None = None) -> Suspension:
    async with world.pool.transaction() as session:
        return await suspension.suspend(session, world.settings, world.tenant, **BY, at=at or now())


async def resume(world: World, at: datetime | None = None) -> Suspension:
    async with world.pool.transaction() as session:
        return await suspension.resume(session, world.settings, world.tenant, **BY, at=at or now())


async def status(world: World, campaign_id: UUID) -> tuple[Any, ...]:
    return await row(world, campaign_id, "status", "status_reason")


async def test_what_runs_is_paused_and_resumed_and_what_a_person_paused_stays_so(
    world: World,
) -> None:
    running = [await world.started() for _ in range(3)]
    paused, draft = await world.started(), await world.created()
    await world.do(Verb.PAUSE, paused, {"reason": "typo"})
    other = await make_world(world.pool, world.settings, "globex")
    theirs = await other.started()
    before = len(await world.outbox())
    assert (await suspend(world)).campaigns == 3
    for campaign_id in running:
        assert await status(world, campaign_id) == ("paused", "tenant-suspended")
    records = (await world.outbox())[before:]
    to_throttle = [value for topic, _, value in records if topic == "campaigns.sending.v1"]
    assert [value["type"] for value in to_throttle] == ["paused"] * 3
    assert {UUID(value["campaignId"]) for value in to_throttle} == set(running)
    public = [(kind, value["data"]["reason"]) for _, kind, value in records if kind]
    assert public == [("campaign.paused", "tenant-suspended")] * 3
    assert await status(world, theirs) == ("running", None)
    assert (await resume(world)).campaigns == 3
    for campaign_id in running:
        assert await status(world, campaign_id) == ("running", None)
    assert await status(world, paused) == ("paused", "typo")
    assert await status(world, draft) == ("draft", None)


async def test_nothing_begins_while_it_is_suspended(world: World) -> None:
    draft, paused, running = [await world.created(), await world.started(), await world.started()]
    await world.do(Verb.PAUSE, paused)
    triggered = await world.started(type="triggered", segmentIds=[])
    await suspend(world)
    for verb, campaign_id, body in (
        (Verb.CREATE, None, world.draft()),
        (Verb.START, draft, None),
        (Verb.RESUME, paused, None),
        (Verb.RESUME, running, None),
    ):
        with pytest.raises(TenantSuspendedError):
            await world.do(verb, campaign_id, body)
    with pytest.raises(IllegalTransitionError, match="paused"):
        await world.do(Verb.TRIGGER, triggered, {"contactIds": [str(world.user)]})
    await world.do(Verb.CANCEL, running)
    assert (await resume(world)).campaigns == 1
    assert (await status(world, running))[0] == "cancelled"
    assert await status(world, paused) == ("paused", None)
    assert await status(world, triggered) == ("running", None)
    await world.do(Verb.START, draft)


async def test_what_is_scheduled_waits_and_starts_afterwards(world: World, make: Make) -> None:
    soon = await scheduled(world, now() - timedelta(minutes=1))
    missed = await scheduled(world, now() - HOUR, settings={"maxLateness": "PT10M"})
    await suspend(world)
    assert await start_all(make) == {}
    assert await due(world) is None  # or the scheduler would look for it all the time
    assert (await status(world, soon))[0] == (await status(world, missed))[0] == "scheduled"
    await resume(world)
    assert await start_all(make) == {"started": 1, "missed": 1}
    assert await status(world, soon) == ("running", None)
    assert await status(world, missed) == ("cancelled", "missed-schedule")


async def test_a_series_waits_with_its_children(world: World, make: Make) -> None:
    weekly = await series(world, hour())
    await trigger(make, hour())
    await start_due(make, hour(1))
    first = await child(world, weekly, 1)
    assert (await status(world, first))[0] == "running"
    assert (await suspend(world, hour(1) + HOUR / 2)).campaigns == 1
    assert await status(world, first) == ("paused", "tenant-suspended")
    assert await trigger(make, hour(5)) == await start_due(make, hour(5)) == {}
    assert (await resume(world, hour(5) + HOUR / 2)).campaigns == 1
    assert (await status(world, first))[0] == (await status(world, weekly))[0] == "running"
    assert await start_due(make, hour(6)) == {"started": 1}


async def test_one_that_no_place_is_left_for_stays_paused_and_is_named(world: World) -> None:
    both = [await world.started() for _ in range(2)]
    await suspend(world)
    async with world.pool.transaction() as session:
        tight = world.settings.model_copy(update={"max_running": 1})
        done = await suspension.resume(session, tight, "acme", **BY, at=now())
    assert done.campaigns == 1
    assert list(done.refused) == [both[1]]
    assert await status(world, both[1]) == ("paused", "tenant-suspended")
    await world.do(Verb.CANCEL, both[0])
    await world.do(Verb.RESUME, both[1])


async def test_a_second_suspension_and_a_needless_resumption_are_refused(world: World) -> None:
    with pytest.raises(ConflictError, match="not suspended"):
        await resume(world)
    await suspend(world)
    with pytest.raises(ConflictError, match="has been suspended since"):
        await suspend(world)
    async with world.pool.transaction() as session:
        with pytest.raises(NotFoundError):
            await suspension.suspend(session, world.settings, "nobody", **BY, at=now())
        found = await list_entries(session, "acme", limit=1)
    assert [(one.action, one.actor, one.reason) for one in found] == [
        ("tenant.suspended", "an operator", "invoice unpaid")
    ]


async def test_a_deletion_suspends_is_taken_back_until_it_begins_and_never_afterwards(
    world: World,
) -> None:
    running = await world.started()

    async def ask(grace: timedelta) -> None:
        async with world.pool.transaction() as session:
            await suspension.ask_for_deletion(
                session, world.settings, "acme", **BY, at=now(), grace=grace
            )

    with pytest.raises(ConflictError, match="PT1H"):
        await ask(timedelta(minutes=59))
    await ask(timedelta(days=7))
    assert await status(world, running) == ("paused", "tenant-suspended")
    await resume(world)
    assert (await status(world, running))[0] == "running"
    doomed = "SELECT delete_after FROM tenants WHERE id = 'acme'"
    assert await sql(world.pool).fetchval(doomed) is None
    await ask(timedelta(hours=1))
    await sql(world.pool).execute("UPDATE tenants SET delete_after = now() WHERE id = 'acme'")
    with pytest.raises(ConflictError, match="cannot be taken back"):
        await resume(world)
    async with world.pool.transaction() as session:
        await create_tenant(session, "untouched")
