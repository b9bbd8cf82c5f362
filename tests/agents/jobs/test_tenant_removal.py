"""Everything of a tenant is removed when its grace is over, whatever table it is in, by bounded
steps that a crash does not undo; and nothing of anybody else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest

from agents.jobs.housekeeping import Housekeeping
from streams.contracts.commands import Verb
from streams.settings import Settings
from tables.audience.recipients import recipient_id
from tables.commands import removal
from tables.commands.removal import PARTS
from tables.database.connection import Database
from tables.models import Base
from tests.postgres import Client
from tests.postgres import connect as connect_client
from tests.tables.campaigns.campaign_world import World, make_world
from tests.tables.commands.tenant_rows import (
    KEPT,
    OF_NOBODY,
    WITH_THEIR_KEY,
    Marked,
    fill,
    rows_with,
)

_DOOM = (
    "UPDATE tenants SET suspended_at = now(), delete_after = now() - interval '1 second'"
    " WHERE id = $1"
)


@pytest.fixture
async def client(database: str) -> AsyncIterator[Client]:
    client = await connect_client(database)
    yield client
    await client.close()


@pytest.fixture
def here(database: str) -> Settings:
    return Settings.model_validate(
        {"kafka": "", "nats": "", "postgres": database, "message_keys": "00" * 32}
    )


async def _rounds(here: Settings, client: Client, tenant: str, most: int = 60) -> int:
    """How many rounds of housekeeping it took, each in a process of its own."""
    for count in range(1, most):
        await Housekeeping(None, here).round()
        if not await client.fetchval("SELECT count(*) FROM tenants WHERE id = $1", tenant):
            return count
    raise AssertionError(f"{tenant} is still there after {most} rounds")


def test_every_table_is_removed_from_or_says_why_not() -> None:
    others = {*OF_NOBODY, *KEPT, *WITH_THEIR_KEY, "tenants"}
    assert set(PARTS) | others == set(Base.metadata.tables)
    assert not set(PARTS) & (set(OF_NOBODY) | set(KEPT))
    owned = {name for name, it in Base.metadata.tables.items() if "tenant_id" in it.columns}
    assert owned - {"audit_log"} <= set(PARTS)


async def test_nothing_of_the_tenant_is_left_and_everything_of_another(
    client: Client, here: Settings
) -> None:
    doomed, other = Marked("doomed-tenant"), Marked("other-tenant")
    for marked in (doomed, other):
        await fill(client, marked)
    before = await rows_with(client, other)
    assert set(before) == set(Base.metadata.tables) - set(OF_NOBODY)
    assert set(await rows_with(client, doomed)) == set(before)
    await client.execute(_DOOM, doomed.tenant)
    await _rounds(here, client, doomed.tenant)
    assert set(await rows_with(client, doomed)) <= set(KEPT)
    assert await rows_with(client, other) == before
    noted = "SELECT action, actor FROM audit_log WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1"
    assert tuple(await client.fetchrow(noted, doomed.tenant) or ()) == ("tenant.deleted", "engine")


async def test_a_removal_that_is_killed_anywhere_goes_on_where_it_was(
    client: Client, here: Settings
) -> None:
    """Each step is a transaction: one that is killed before its commit has done nothing, whichever
    it is, and the next process carries it out.
    """
    doomed, other = Marked("doomed-tenant"), Marked("other-tenant")
    for marked in (doomed, other):
        await fill(client, marked)
    before, tables = await rows_with(client, other), list[str]()
    await client.execute(_DOOM, doomed.tenant)
    step = partial(
        removal.step, settings=here, tenant_id=doomed.tenant, at=datetime.now(UTC), limit=1
    )
    while True:
        async with Database(here, max_size=1) as database:
            with pytest.raises(ZeroDivisionError):
                async with database.transaction() as session:
                    killed = await step(session)
                    raise ZeroDivisionError
        async with Database(here, max_size=1) as database:
            done = await database.once(step)
        assert done == killed
        if not done.count:
            break
        tables.append(done.table)
    assert list(dict.fromkeys(tables)) == [name for name in PARTS if name in tables]
    async with Database(here, max_size=1) as database:
        assert await database.once(partial(removal.finish, tenant_id=doomed.tenant, limit=1))
    assert set(await rows_with(client, doomed)) <= set(KEPT)
    assert await rows_with(client, other) == before


@pytest.fixture
async def pool(here: Settings) -> AsyncIterator[Database]:
    async with Database(here, max_size=4) as pool:
        yield pool


@pytest.fixture
async def world(pool: Database, here: Settings) -> World:
    return await make_world(pool, here)


async def test_campaigns_are_cancelled_first_and_rows_go_a_round_later(
    client: Client, here: Settings, world: World
) -> None:
    running = await world.started()
    later = await world.created()
    at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await world.do(Verb.SCHEDULE, later, {"scheduledAt": at})
    await client.execute(_DOOM, "acme")
    await Housekeeping(None, here).round()
    states = await client.fetch("SELECT status::text, status_reason FROM campaigns")
    assert [tuple(row) for row in states] == [("cancelled", "tenant-deleted")] * 2
    to_throttle = [value for topic, _, value in await world.outbox() if "sending" in topic]
    assert [(one["type"], UUID(one["campaignId"])) for one in to_throttle] == [
        ("cancelled", running)
    ]
    assert await client.fetchval("SELECT count(*) FROM api_keys") == 0
    assert await _rounds(here, client, "acme") >= 2


async def test_many_rows_go_in_bounded_steps_and_series_before_their_children(
    client: Client, here: Settings
) -> None:
    doomed = Marked("doomed-tenant")
    await fill(client, doomed)
    first, last = recipient_id(doomed.number, 1), recipient_id(doomed.number, 4_095)
    await client.execute(
        "INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id)"
        " SELECT recipient_id($1, n), $2, $3, uuidv7() FROM generate_series(1, 2500) n",
        *(doomed.number, doomed.tenant, doomed.ids["campaign"]),
    )
    parent = doomed.ids["campaign"]
    for _ in range(3):  # a chain of parents
        parent = await client.fetchval(
            "INSERT INTO campaigns (tenant_id, name, channel, created_by, parent_id)"
            " VALUES ($1, 'child', 'email', uuidv7(), $2) RETURNING id",
            *(doomed.tenant, parent),
        )
    await client.execute(
        "INSERT INTO contacts (id, tenant_id, email)"
        " SELECT uuidv7(), $1, n || '@example.com' FROM generate_series(1, 1500) n",
        doomed.tenant,
    )
    await client.execute(_DOOM, doomed.tenant)
    left = "SELECT count(*) FROM campaign_recipients WHERE id BETWEEN $1 AND $2"
    assert await client.fetchval(left, first, last) == 2500
    counts = dict[str, list[int]]()
    async with Database(here, max_size=1) as database:
        step = partial(
            removal.step, settings=here, tenant_id=doomed.tenant, at=datetime.now(UTC), limit=1_000
        )
        while (done := await database.once(step)).count:
            counts.setdefault(done.table, []).append(done.count)
    assert counts["campaign_recipients"] == [1_000, 1_000, 501]
    assert counts["contacts"] == [1_000, 501] and sum(counts["former_addresses"]) == 1_501
    assert counts["campaigns"] == [1, 1, 1, 1]
    assert set(await rows_with(client, doomed)) == {"tenants", *KEPT}


async def test_what_comes_in_while_it_is_removed_is_removed_too(
    client: Client, here: Settings
) -> None:
    doomed = Marked("doomed-tenant")
    await fill(client, doomed)
    await client.execute(_DOOM, doomed.tenant)
    house = Housekeeping(None, here)
    await house.round()
    late = "INSERT INTO opt_ins VALUES ($1, 'sms', 'late', now())"
    await client.execute(late, doomed.tenant)
    async with Database(here, max_size=1) as database:
        finish = partial(removal.finish, tenant_id=doomed.tenant, limit=10)
        assert not await database.once(finish)  # it has found the late one
        assert await database.once(finish)
        assert not await database.once(finish)  # a repeat finds nothing to do
    assert set(await rows_with(client, doomed)) <= set(KEPT)


async def test_a_tenant_whose_grace_is_not_over_or_was_taken_back_loses_nothing(
    client: Client, here: Settings
) -> None:
    marked = Marked("other-tenant")
    await fill(client, marked)
    before = await rows_with(client, marked)
    for after in ("now() + interval '1 minute'", "NULL"):
        await client.execute(f"UPDATE tenants SET delete_after = {after}")
        await Housekeeping(None, here).round()
        found = await rows_with(client, marked)
        assert {**found, "tenants": []} == {**before, "tenants": []}
