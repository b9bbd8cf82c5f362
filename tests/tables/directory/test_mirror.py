"""Copies of what other services own, on a real PostgreSQL."""

from __future__ import annotations

from uuid import uuid4

import pytest

from streams.errors import ConflictError
from tables.contacts import lists
from tables.database.connection import Session
from tables.directory import mirror, segments, templates
from tests.tables.contacts.contact_world import contact


async def test_a_copy_of_a_segment_changes_only_where_it_is_owned(session: Session) -> None:
    own = await segments.create_segment(session, "acme", "s")
    copied, nameless = uuid4(), uuid4()
    for _ in range(2):
        await mirror.keep_segment(session, "acme", copied, "s")
        await mirror.keep_segment(session, "acme", nameless, " \0")
        await mirror.keep_segment(session, "other", copied, "stolen")
        await mirror.keep_segment(session, "acme", own.id, "taken over")
    found, _ = await segments.list_segments(session, "acme")
    names = {segment.id: segment.name for segment in found}
    assert names == {own.id: "s", copied: f"s {copied}", nameless: str(nameless)}
    with pytest.raises(ConflictError):
        await segments.rename_segment(session, "acme", copied, "mine")
    with pytest.raises(ConflictError):
        await segments.check_members_are_own(session, copied)
    for checked in (own.id, uuid4()):
        await segments.check_members_are_own(session, checked)


async def test_the_members_of_a_copy_are_those_that_were_read(session: Session) -> None:
    copied, reading = uuid4(), uuid4()
    await mirror.keep_segment(session, "acme", copied, "s")
    ids = [await contact(session, "acme", email=f"{n}@example.com") for n in range(3)]
    for _ in range(2):
        await mirror.add_members(session, reading, [*ids[:2], uuid4()])
        await mirror.replace_members(session, "acme", copied, reading)
        found = await lists.list_members(session, "acme", copied)
        assert {member.id for member in found} == set(ids[:2])
    await mirror.add_members(session, reading, ids[1:])
    await mirror.replace_members(session, "acme", copied, reading)
    found = await lists.list_members(session, "acme", copied)
    assert {member.id for member in found} == set(ids[1:])


async def test_a_copy_of_a_template_is_replaced_by_its_next_reading(session: Session) -> None:
    copied = uuid4()
    for text in ("old", "new"):
        await mirror.keep_template(session, "acme", copied, "T", "sms", {"text": text})
    await mirror.keep_template(session, "other", copied, "T", "sms", {"text": "stolen"})
    kept = await templates.get_template(session, "acme", copied)
    assert (kept.name, kept.channel, kept.content) == ("T", "sms", {"text": "new"})
    with pytest.raises(ConflictError):
        await templates.change_template(session, "acme", copied, name="mine")
    with pytest.raises(ConflictError):
        await templates.delete_template(session, "acme", copied)
