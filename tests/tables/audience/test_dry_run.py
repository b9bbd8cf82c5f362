"""The dry run of an audience counts exactly what the expansion makes, in every directory that
chance comes up with.
"""

from __future__ import annotations

import random
from uuid import UUID, uuid4

import pytest

from tables.audience import staging
from tables.audience.dry_run import REASONS, Counted, count_audience, some_of_audience
from tables.directory.suppressions import put_suppression
from tests.postgres import sql
from tests.tables.audience.audience_world import Directory, record, segment, stage
from tests.tables.campaigns.campaign_world import World, make_world


async def counted(
    world: World,
    channel: str,
    segments: list[UUID],
    excluded: list[UUID],
    *,
    is_triggered: bool = False,
) -> Counted:
    async with world.pool.transaction() as connection:
        return await count_audience(
            connection, world.tenant, channel, segments, excluded, is_triggered=is_triggered
        )


async def some(
    world: World, segments: list[UUID], excluded: list[UUID], limit: int = 10_000
) -> list[UUID]:
    async with world.pool.transaction() as connection:
        return [
            one.id
            for one in await some_of_audience(
                connection, world.tenant, "email", segments, excluded, limit
            )
        ]


async def populate(world: World, rng: random.Random) -> tuple[list[UUID], list[UUID]]:
    """Three segments that overlap and one to exclude, with everything that keeps people out."""
    directory = Directory(world)
    names = [await segment(world, f"{name} {uuid4()}") for name in ("a", "b", "c", "out")]
    everybody: list[UUID] = []
    for place in names:
        emails = [
            None if rng.random() < 0.15 else f"u{rng.randrange(60)}@example.com"
            for _ in range(rng.randrange(40))
        ]
        everybody += await directory.add(place, *emails)
    for place in names:
        inside = {
            row["contact_id"]
            for row in await sql(world.pool).fetch(
                "SELECT contact_id FROM segment_members WHERE segment_id = $1", place
            )
        }
        await directory.join(place, *(set(rng.sample(everybody, len(everybody) // 4)) - inside))
    async with world.pool.transaction() as connection:
        for contact in rng.sample(everybody, len(everybody) // 8):
            await put_suppression(
                connection, world.tenant, rng.choice(["email", "sms"]), contact_id=contact
            )
        for number in rng.sample(range(60), 8):
            await put_suppression(
                connection, world.tenant, "email", address=f"u{number}@example.com"
            )
    erased = rng.sample(everybody, len(everybody) // 10)
    await sql(world.pool).execute("DELETE FROM contacts WHERE id = ANY ($1)", erased)
    return names[:3], names[3:] if rng.random() < 0.8 else []


@pytest.mark.parametrize("few", [0, 50_000], ids=["hashed", "looked-up"])
async def test_the_counts_add_up_to_what_the_expansion_makes(
    world: World, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_FEW", few)
    other = await make_world(world.pool, world.settings, "globex")
    for seed in range(12):
        rng = random.Random(seed)
        await populate(other, rng)  # another tenant's people with the same addresses count nowhere
        segments, excluded = await populate(world, rng)
        ids = {
            "segmentIds": [str(one) for one in segments],
            "excludeSegmentIds": [str(one) for one in excluded],
        }
        wanted = await record(world, await world.created(**ids))
        found = await counted(world, "email", segments, excluded)
        await sql(world.pool).execute(
            "UPDATE campaigns SET status = 'running' WHERE number = $1", wanted.number
        )
        assert found.total == await stage(world, wanted)
        assert tuple(found.excluded) == REASONS
        assert found.in_segments == found.total + sum(found.excluded.values())
        members = (
            "SELECT count(DISTINCT c.id) FROM segment_members m"
            " JOIN contacts c ON c.id = m.contact_id WHERE segment_id = ANY ($1)"
        )
        assert found.in_segments == await sql(world.pool).fetchval(members, segments)


async def test_the_first_reason_that_applies_is_counted(world: World) -> None:
    directory, out = Directory(world), await segment(world, "out")
    excluded, barred, silent, lacking, first, second = await directory.add(
        world.segment,
        "x@example.com",
        "y@example.com",
        None,
        None,
        "z@example.com",
        "z@example.com",
    )
    await directory.join(out, excluded)
    async with world.pool.transaction() as connection:
        await put_suppression(
            connection, world.tenant, "email", address="x@example.com"
        )  # of somebody who is excluded already
        await put_suppression(connection, world.tenant, "email", contact_id=barred)
        await put_suppression(connection, world.tenant, "email", address="y@example.com")
        await put_suppression(connection, world.tenant, "email", contact_id=silent)
        await put_suppression(connection, world.tenant, "sms", contact_id=first)
    reasons = {"excluded-segment": 1, "suppressed": 2, "no-address": 1, "duplicate-address": 1}
    assert await counted(world, "email", [world.segment], [out]) == Counted(6, 1, reasons)
    push = {"excluded-segment": 1, "suppressed": 0, "no-address": 5, "duplicate-address": 0}
    assert await counted(world, "push", [world.segment], [out]) == Counted(6, 0, push)
    triggered = await counted(world, "email", [world.segment], [out], is_triggered=True)
    assert triggered == Counted(6, 2, reasons | {"duplicate-address": 0})
    await sql(world.pool).execute(
        "INSERT INTO contacts (id, tenant_id, email) VALUES ($1, 'acme', 'far@example.com')",
        uuid4(),
    )
    assert (await counted(world, "email", [], [out], is_triggered=True)).total == 3
    assert await counted(world, "email", [], []) == Counted(0, 0, dict.fromkeys(REASONS, 0))
    assert set(await some(world, [world.segment], [out])) == {first, second}
    assert len(await some(world, [world.segment], [out], limit=1)) == 1
    assert len(await some(world, [], [out])) == 3
    assert lacking not in await some(world, [world.segment], [])
