"""Whoever unsubscribes, complains or bounces hard is in no later audience; on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from streams.records.facts import Batch, Group, Kind
from streams.records.message_id import MessageIds
from streams.settings import Settings
from tables.audience.projection import merge
from tables.audience.recipient_updates import RecipientUpdates
from tables.campaigns.numbers import CampaignNumbers
from tables.database.connection import Database
from tests.agents.counting.recipient_rows import BASE, group
from tests.postgres import sql
from tests.tables.audience.audience_world import Directory, expand, segment
from tests.tables.campaigns.campaign_world import World, make_world

_SUPPRESSIONS = (
    "SELECT tenant_id, channel::text, contact_id, address, reason FROM suppressions ORDER BY seq"
)


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    pool = Database(settings, max_size=4)
    yield await make_world(pool, settings)
    await pool.close()


async def apply(world: World, campaign: UUID, *groups: Group) -> None:
    """As the projection does it, in one transaction."""
    number = await sql(world.pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign)
    numbers, updates = CampaignNumbers(), RecipientUpdates(MessageIds.of(world.settings))
    async with world.pool.transaction() as connection:
        await numbers.load(connection, [number])
        known = numbers.get(number)
        assert known is not None
        updates.add(Batch(world.tenant, number, 0, BASE, groups), known)
        await merge(connection, updates, "test", "facts", {0: 1})


async def test_the_next_audience_misses_only_unsubscribed_complained_and_hard_bounced_people(
    world: World,
) -> None:
    directory, place = Directory(world), await segment(world, "readers")
    people = await directory.add(place, *(f"u{n}@example.com" for n in range(8)))
    first = await world.started(segmentIds=[str(place)])
    contacts = await expand(world, first)
    assert {*contacts} == {*people}
    gone = (
        group(Kind.UNSUBSCRIBED, [0, 1]),
        group(Kind.COMPLAINED, [2]),
        group(Kind.BOUNCED, [3], 1, "hard:no such user"),
    )
    stays = (
        group(Kind.BOUNCED, [4], 1, "soft:full"),
        group(Kind.BOUNCED, [5]),
        group(Kind.FAILED, [6], 1, "hard:no"),
        group(Kind.CLICKED, [7]),
    )
    for _ in range(2):  # a repeat changes nothing
        await apply(world, first, *gone, *stays)
    second = await world.started(segmentIds=[str(place)])
    assert {*await expand(world, second)} == {contacts[ordinal] for ordinal in (4, 5, 6, 7)}
    rows = await sql(world.pool).fetch(_SUPPRESSIONS)
    by_address = {row["address"]: row["reason"] for row in rows if row["address"]}
    reasons = ("unsubscribed", "unsubscribed", "complained", "hard-bounce")
    assert by_address == {
        directory.emails[contacts[ordinal]]: reason for ordinal, reason in enumerate(reasons)
    }
    by_contact = {row["contact_id"]: row["reason"] for row in rows if row["contact_id"]}
    assert by_contact == {
        contacts[ordinal]: reason for ordinal, reason in enumerate(reasons[:3])
    }  # an address bounces, not its owner


async def test_everybody_with_the_address_is_suppressed_and_the_contact_whatever_its_address(
    world: World,
) -> None:
    directory, place = Directory(world), await segment(world, "readers")
    await directory.add(place, "same@example.com", "same@example.com", "other@example.com")
    first = await world.started(segmentIds=[str(place)])
    recipients = await expand(world, first)
    ordinals = {directory.emails[contact]: ordinal for ordinal, contact in enumerate(recipients)}
    other = recipients[ordinals["other@example.com"]]
    await apply(world, first, group(Kind.SENT, ordinals.values()))
    await sql(world.pool).execute("UPDATE contacts SET email = NULL WHERE id = $1", other)
    await apply(world, first, group(Kind.UNSUBSCRIBED, ordinals.values()))
    found = {
        (row["contact_id"], row["address"]) for row in await sql(world.pool).fetch(_SUPPRESSIONS)
    }
    of_hash = (None, None)  # of the address that was taken away
    contacts = ((contact, None) for contact in recipients)
    assert found == {(None, "same@example.com"), of_hash, *contacts}
    await sql(world.pool).execute(
        "UPDATE contacts SET email = id || '@example.com' WHERE id = ANY ($1)", recipients
    )
    assert list(await expand(world, await world.started(segmentIds=[str(place)]))) == []


async def test_a_new_address_lets_people_in_again_after_a_hard_bounce_and_not_after_unsubscribing(
    world: World,
) -> None:
    directory, place = Directory(world), await segment(world, "readers")
    await directory.add(place, "gone@example.com", "full@example.com", "none@example.com")
    first = await world.started(segmentIds=[str(place)])
    recipients = await expand(world, first)
    ordinals = {directory.emails[contact]: ordinal for ordinal, contact in enumerate(recipients)}
    await sql(world.pool).execute(
        "UPDATE contacts SET email = NULL WHERE email = 'none@example.com'"
    )
    bounced = [ordinals["full@example.com"], ordinals["none@example.com"]]
    await apply(
        world,
        first,
        group(Kind.UNSUBSCRIBED, [ordinals["gone@example.com"]]),
        group(Kind.BOUNCED, bounced, 1, "hard:no"),
    )
    assert await expand(world, await world.started(segmentIds=[str(place)])) == []
    await sql(world.pool).execute("UPDATE contacts SET email = id || '@example.com'")
    assert {*await expand(world, await world.started(segmentIds=[str(place)]))} == {
        recipients[ordinal] for ordinal in bounced
    }


async def test_facts_that_suppress_nobody_leave_suppressions_alone(world: World) -> None:
    directory, place = Directory(world), await segment(world, "readers")
    await directory.add(place, "a@example.com")
    campaign = await world.started(segmentIds=[str(place)])
    await expand(world, campaign)
    await apply(
        world, campaign, group(Kind.SENT, [0]), group(Kind.DELIVERED, [0]), group(Kind.OPENED, [0])
    )
    assert await sql(world.pool).fetch(_SUPPRESSIONS) == []
