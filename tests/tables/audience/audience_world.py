"""Contacts in segments, and the steps of an expansion in one line each, for tests of audiences."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from streams.records.expansions import Page, Stage
from streams.records.message_id import MAX_ORDINAL
from streams.settings import Settings
from tables.audience import staging
from tables.audience.recipients import ordinal_of, recipient_id
from tables.audience.staging import Audience
from tables.campaigns.changes import Change
from tables.directory.segments import segment_named
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)


@dataclass
class Directory:
    """Contacts as this test knows them."""

    world: World
    emails: dict[UUID, str | None] = field(default_factory=dict)

    async def add(self, segment: UUID, *emails: str | None) -> list[UUID]:
        """New contacts in a segment."""
        ids = [uuid4() for _ in emails]
        pool, tenant = self.world.pool, self.world.tenant
        rows = [
            (one, tenant, email, f"+1555{one.int % 10**7:07d}")
            for one, email in zip(ids, emails, strict=True)
        ]
        await sql(pool).executemany(
            "INSERT INTO contacts (id, tenant_id, email, phone) VALUES ($1, $2, $3, $4)", rows
        )
        self.emails |= dict(zip(ids, emails, strict=True))
        await self.join(segment, *ids)
        return ids

    async def join(self, segment: UUID, *contacts: UUID) -> None:
        members = [(segment, contact, self.world.tenant) for contact in contacts]
        await sql(self.world.pool).executemany(
            "INSERT INTO segment_members VALUES ($1, $2, $3)", members
        )


async def segment(world: World, name: str) -> UUID:
    async with world.pool.transaction() as connection:
        return (await segment_named(connection, world.tenant, name)).id


async def record(world: World, campaign_id: UUID) -> Stage:
    number = await sql(world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", campaign_id
    )
    return Stage(
        tenant_id=world.tenant, campaign_id=str(campaign_id), number=number, correlation_id="c"
    )


def page(wanted: Stage, total: int, start: int) -> Page:
    return Page(
        tenant_id=wanted.tenant_id,
        campaign_id=wanted.campaign_id,
        number=wanted.number,
        total=total,
        start=start,
    )


async def stage(world: World, wanted: Stage) -> int | None:
    async with world.pool.transaction() as connection:
        return await staging.stage(connection, wanted)


async def announce(
    world: World, wanted: Stage, total: int, **changed: int
) -> Audience | Change | None:
    settings: Settings = world.settings.model_copy(update=changed)
    async with world.pool.transaction() as connection:
        return await staging.announce(connection, settings, wanted, total, NOW)


async def write(world: World, wanted: Stage, total: int, start: int, stop: int) -> bool:
    async with world.pool.transaction() as connection:
        return await staging.write_page(connection, page(wanted, total, start), stop)


async def expand(world: World, campaign_id: UUID, size: int = 7) -> list[UUID]:
    """All steps; the contacts by ordinal."""
    wanted = await record(world, campaign_id)
    total = await stage(world, wanted)
    assert total is not None
    assert isinstance(await announce(world, wanted, total), Audience)
    for start in range(0, total, size):
        assert await write(world, wanted, total, start, min(start + size, total))
    return await ledger(world, wanted.number)


async def ledger(world: World, number: int) -> list[UUID]:
    bounds = recipient_id(number, 0), recipient_id(number, MAX_ORDINAL + 1)
    rows = await sql(world.pool).fetch(
        "SELECT id, contact_id FROM campaign_recipients WHERE id >= $1 AND id < $2 ORDER BY id",
        *bounds,
    )
    assert [ordinal_of(row["id"]) for row in rows] == list(range(len(rows)))
    return [row["contact_id"] for row in rows]


async def has_stage(world: World, number: int) -> bool:
    return bool(
        await sql(world.pool).fetchval("SELECT to_regclass($1) IS NOT NULL", f"stage_{number}")
    )
