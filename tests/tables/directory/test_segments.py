"""Segments on a real PostgreSQL; the segments and contacts of other tenants are unknown."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import insert

from streams.contracts.fields import Status
from streams.errors import CampaignError, ConflictError, NotFoundError
from tables.database.connection import Session
from tables.directory import segments
from tables.models import Campaign
from tests.tables.contacts.contact_world import contact


async def test_a_segment_is_found_by_name_and_id_and_a_new_name_makes_one(
    session: Session,
) -> None:
    made = await segments.segment_named(session, "acme", " Customers ")
    assert made.name == "Customers"
    assert await segments.segment_named(session, "acme", "Customers") == made
    assert await segments.segment_named(session, "acme", str(made.id)) == made
    assert await segments.list_segments(session, "acme") == ([made], 1)
    assert (await segments.segment_named(session, "other", "Customers")).id != made.id


async def test_foreign_segments_are_unknown(session: Session) -> None:
    mine, foreign = [
        await segments.segment_named(session, tenant, "s") for tenant in ("acme", "other")
    ]
    never = uuid4()
    assert await segments.unknown_segments(
        session, "acme", [never, mine.id, foreign.id, never]
    ) == (never, foreign.id)
    with pytest.raises(NotFoundError):
        await segments.segment_named(session, "acme", str(foreign.id))


async def test_members_are_contacts_of_the_same_tenant(session: Session) -> None:
    segment = await segments.segment_named(session, "acme", "s")
    mine, foreign = [
        await contact(session, tenant, email="a@example.com") for tenant in ("acme", "other")
    ]
    assert await segments.add_members(session, "acme", segment.id, [mine, foreign, uuid4()]) == 1
    assert await segments.add_members(session, "acme", segment.id, [mine]) == 0
    assert await segments.add_members(session, "other", segment.id, [foreign]) == 0


async def test_segments_are_counted_renamed_and_deleted(session: Session) -> None:
    a, b = [await segments.create_segment(session, "acme", name) for name in ("A", " B ")]
    ids = [await contact(session, "acme", email=f"{n}@example.com") for n in range(3)]
    await segments.add_members(session, "acme", a.id, ids)
    assert await segments.remove_members(session, "acme", a.id, [ids[0], uuid4()]) == 1
    assert await segments.remove_members(session, "other", a.id, ids) == 0
    assert await segments.count_members(session, "acme", [a.id, b.id]) == {a.id: 2}
    assert await segments.count_members(session, "other", [a.id]) == {}
    with pytest.raises(ConflictError):
        await segments.create_segment(session, "acme", "B")
    with pytest.raises(ConflictError):
        await segments.rename_segment(session, "acme", a.id, "B")
    with pytest.raises(CampaignError):
        await segments.rename_segment(session, "acme", a.id, " ")
    renamed = await segments.rename_segment(session, "acme", a.id, "a%_ä")
    assert await segments.list_segments(session, "acme", search="%_Ä") == ([renamed], 1)
    assert await segments.list_segments(session, "acme", limit=1, offset=1) == ([renamed], 2)
    await segments.delete_segment(session, "acme", a.id)
    assert await segments.list_segments(session, "acme") == ([b], 1)
    for use in (segments.get_segment, segments.delete_segment):
        with pytest.raises(NotFoundError):
            await use(session, "acme", a.id)


@pytest.mark.parametrize("column", ["segment_ids", "exclude_segment_ids"])
async def test_a_segment_that_a_campaign_needs_cannot_be_deleted(
    session: Session, column: str
) -> None:
    segment = await segments.create_segment(session, "acme", "s")
    campaign = {"tenant_id": "acme", "channel": "email", "created_by": uuid4()}
    campaign[column] = [uuid4(), segment.id]
    for n, status in enumerate([Status.COMPLETED, *[Status.DRAFT] * 7]):
        named = {"name": f"c{n}", "status": status}
        await session.execute(insert(Campaign).values(campaign | named))
    with pytest.raises(ConflictError, match=r"c\d \(draft\), .* and others\. Change"):
        await segments.delete_segment(session, "acme", segment.id)
