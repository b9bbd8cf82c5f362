"""The ledger's derived ids and its pages, on a real PostgreSQL."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CampaignError
from streams.records.message_id import MAX_ORDINAL
from tables.audience.recipients import list_recipients, ordinal_of, recipient_id
from tables.campaigns.campaign import get_campaign
from tables.database.connection import Database
from tests.postgres import sql
from tests.tables.audience.audience_world import Directory, expand
from tests.tables.campaigns.campaign_world import World


async def test_recipients_are_listed_by_page_and_by_cursor(world: World) -> None:
    await Directory(world).add(world.segment, *(f"u{n}@example.com" for n in range(25)))
    campaign_id = await world.started()
    contacts = await expand(world, campaign_id)
    other = await world.started()
    await expand(world, other)
    async with world.pool.transaction() as connection:
        campaign = await get_campaign(connection, world.tenant, campaign_id)
        failed = [recipient_id(campaign.number, ordinal) for ordinal in (3, 17)]
        await sql(connection).execute(
            "UPDATE campaign_recipients SET status = 'failed' WHERE id = ANY($1)", failed
        )
        third = await list_recipients(connection, campaign, page=3, page_size=10)
        assert [it.contact_id for it in third.recipients] == contacts[20:]
        assert (third.total, third.next_cursor) == (25, None)
        seen, cursor = list[UUID](), None
        while True:
            listed = await list_recipients(connection, campaign, page_size=10, cursor=cursor)
            seen += [it.contact_id for it in listed.recipients]
            if (cursor := listed.next_cursor) is None:
                break
        assert seen == contacts
        lost = await list_recipients(connection, campaign, status="failed")
        assert ([it.recipient_number for it in lost.recipients], lost.total) == ([3, 17], 2)
        foreign = recipient_id(campaign.number + 1, 3).hex
        for wrong in (
            {"status": "lost"},
            {"page": 0},
            {"page_size": 1001},
            {"cursor": "x"},
            {"cursor": foreign},
        ):
            with pytest.raises(CampaignError):
                await list_recipients(connection, campaign, **wrong)


@given(st.integers(1, 2**47 - 1), st.integers(0, MAX_ORDINAL))
def test_recipient_ids_sort_by_campaign_and_ordinal(number: int, ordinal: int) -> None:
    one = recipient_id(number, ordinal)
    assert (one.version, ordinal_of(one), one.int >> 80) == (8, ordinal, number)
    assert recipient_id(number, ordinal) < recipient_id(number, ordinal + 1)
    assert recipient_id(number, MAX_ORDINAL + 1) == recipient_id(number + 1, 0)


async def test_postgres_derives_the_same_recipient_ids(pool: Database) -> None:
    for number, ordinal in ((1, 0), (42, 0xABC123), (2**47 - 1, MAX_ORDINAL)):
        assert await sql(pool).fetchval(
            "SELECT recipient_id($1, $2)", number, ordinal
        ) == recipient_id(number, ordinal)
