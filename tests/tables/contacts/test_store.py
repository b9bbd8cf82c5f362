"""The writing and reading of single contacts, on a real PostgreSQL."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from streams.errors import CampaignError, ConflictError, NotFoundError
from tables.contacts import changes, lists, store
from tables.contacts.fields import contact_row
from tables.database.connection import Session
from tables.directory import segments
from tests.tables.contacts.contact_world import contact


async def test_a_contact_is_updated_by_the_same_identifier(session: Session) -> None:
    row = contact_row(
        1,
        {"external_id": "7", "email": "Ana@example.com", "first_name": "Ana"},
        {"plan": "pro", "age": 3},
    )
    async with session.begin_nested():
        first, is_new = await store.put_contact(session, "acme", row)
    async with session.begin_nested():
        second, is_newer = await store.put_contact(
            session,
            "acme",
            contact_row(1, {"external_id": "7", "last_name": "B"}, {"plan": "free"}),
        )
    assert second.id == first.id
    assert (is_new, is_newer) == (True, False)
    assert (second.first_name, second.last_name, second.email) == ("Ana", "B", "ana@example.com")
    assert second.attributes == {"plan": "free", "age": 3}
    assert await store.get_contact(session, "acme", first.id) == second
    assert await lists.list_contacts(session, "acme") == [second]
    with pytest.raises(NotFoundError):
        await store.get_contact(session, "other", first.id)
    async with session.begin_nested():
        with pytest.raises(CampaignError):
            await store.put_contact(session, "other", contact_row(1, {"id": str(first.id)}, {}))


async def test_the_columns_of_a_contact_change_one_by_one(session: Session) -> None:
    ana = await contact(session, "acme", external_id="1", email="ana@example.com")
    await contact(session, "acme", external_id="2")
    before = await changes.change_contact(session, "acme", ana, {"attributes": {"a": 1, "b": 2}})
    after = await changes.change_contact(
        session,
        "acme",
        ana,
        {"email": " Ana@Example.org ", "external_id": "", "attributes": {"a": None, "c": [3]}},
    )
    assert before.attributes == {"a": 1, "b": 2}
    assert (after.email, after.external_id) == ("ana@example.org", None)
    assert after.attributes == {"b": 2, "c": [3]}
    assert await store.get_contact(session, "acme", ana) == after
    with pytest.raises(ConflictError):
        await changes.change_contact(session, "acme", ana, {"external_id": "2"})
    with pytest.raises(CampaignError):
        await changes.change_contact(session, "acme", ana, {"email": "nonsense"})
    for tenant, whom in (("other", ana), ("acme", uuid4())):
        with pytest.raises(NotFoundError):
            await changes.change_contact(session, tenant, whom, {"first_name": "A"})


async def test_an_erased_contact_is_in_no_segment(session: Session) -> None:
    segment = await segments.segment_named(session, "acme", "s")
    ana, ben = [
        await contact(session, "acme", email=f"{name}@example.com") for name in ("ana", "ben")
    ]
    await segments.add_members(session, "acme", segment.id, [ana, ben])
    await changes.erase_contact(session, "acme", ana)
    assert [one.id for one in await lists.list_members(session, "acme", segment.id)] == [ben]
    for tenant, whom in (("other", ben), ("acme", ana)):
        with pytest.raises(NotFoundError):
            await changes.erase_contact(session, tenant, whom)


async def test_unknown_contacts_are_those_of_nobody_and_of_other_tenants(session: Session) -> None:
    mine, foreign = [
        await contact(session, tenant, email="a@example.com") for tenant in ("acme", "other")
    ]
    never = uuid4()
    assert await store.unknown(session, "acme", [never, mine, foreign]) == [never, foreign]
    assert await store.unknown(session, "acme", []) == []
    await lists.check_known(session, "acme", [mine])
    with pytest.raises(CampaignError, match="and 2 more"):
        await lists.check_known(session, "acme", [mine, *(uuid4() for _ in range(7))])


async def test_a_search_finds_what_begins_with_the_text(session: Session) -> None:
    ana = await contact(session, "acme", email="ana@example.com", first_name="Änna")
    ben = await contact(session, "acme", external_id="Ana-7", phone="+49 30 123456")
    await contact(session, "other", email="ana@example.com")

    async def found(search: str, after: UUID | None = None, limit: int = 9) -> list[UUID]:
        rows = await lists.list_contacts(session, "acme", search=search, after=after, limit=limit)
        return [row.id for row in rows]

    assert await found("Ana") == sorted([ana, ben])
    assert await found("Ana", limit=1) == [min(ana, ben)]
    assert await found("Ana", after=min(ana, ben)) == [max(ana, ben)]
    assert await found("ANA@") == [ana]
    assert await found("änn") == [ana]
    assert await found("+49 (30) 12") == [ben]
    assert await found("a%") == []
    assert await found("\0") == sorted([ana, ben])


async def test_members_are_listed_from_a_cursor_on_with_their_attributes(session: Session) -> None:
    segment = await segments.segment_named(session, "acme", "s")
    ids = [await contact(session, "acme", email=f"{n}@example.com") for n in range(3)]
    for whom, attributes in zip(ids, ({"b": 1}, {"a": 1, "b": 2}, {}), strict=True):
        await changes.change_contact(session, "acme", whom, {"attributes": attributes})
    await segments.add_members(session, "acme", segment.id, ids)
    first, second, third = sorted(ids)
    page = await lists.list_members(session, "acme", segment.id, after=first, limit=1)
    assert [one.id for one in page] == [second]
    rest = await lists.list_members(session, "acme", segment.id, after=second)
    assert [one.id for one in rest] == [third]
    assert await lists.list_members(session, "other", segment.id) == []
    assert await lists.attribute_names(session, "acme", segment.id) == ["a", "b"]
