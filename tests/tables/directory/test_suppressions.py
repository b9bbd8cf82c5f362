"""Suppressions on a real PostgreSQL, by address and by contact."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from streams.errors import CampaignError, NotFoundError
from tables.database.connection import Session
from tables.directory import opt_ins, suppressions
from tables.directory.suppressions_in_bulk import Wanted, suppress_all
from tables.tenants.audit import Author
from tests.tables.contacts.contact_world import contact

BY: Any = {"by": Author("an admin"), "reason": "asked by phone"}


async def test_an_address_is_suppressed_in_its_one_spelling_and_can_be_released(
    session: Session,
) -> None:
    first, is_new = await suppressions.put_suppression(
        session, "acme", "email", address="Ana@Example.COM", reason="complaint"
    )
    again = await suppressions.put_suppression(session, "acme", "email", address="ana@example.com")
    assert is_new
    assert again == (first, False)
    assert (first.address, first.reason) == ("ana@example.com", "complaint")
    assert await suppressions.list_suppressions(session, "acme", channel="email") == ([first], 1)
    assert await suppressions.list_suppressions(session, "acme", channel="sms") == ([], 0)
    assert await suppressions.list_suppressions(session, "other") == ([], 0)
    with pytest.raises(NotFoundError):
        await suppressions.lift_suppression(session, "other", first.id, **BY)
    await suppressions.lift_suppression(session, "acme", first.id, **BY)
    assert await suppressions.list_suppressions(session, "acme") == ([], 0)


async def test_a_contact_is_suppressed_only_in_its_own_tenant(
    session: Session,
) -> None:
    ana = await contact(session, "acme", phone="+491701234567")
    made, _ = await suppressions.put_suppression(session, "acme", "sms", contact_id=ana)
    assert made.contact_id == ana
    for tenant, channel, target in (
        ("other", "sms", {"contact_id": ana}),
        ("acme", "fax", {"contact_id": ana}),
        ("acme", "sms", {}),
        ("acme", "sms", {"contact_id": ana, "address": "+491701234567"}),
        ("acme", "sms", {"address": "0170"}),
    ):
        with pytest.raises(CampaignError):
            await suppressions.put_suppression(session, tenant, channel, **target)


async def test_one_event_suppresses_and_lets_in_again_both_the_contact_and_its_address(
    session: Session,
) -> None:
    """The time of one transaction marks what one event suppressed."""
    ana = await contact(session, "acme", email="ana@example.com")
    ben = await contact(session, "acme", email="ben@example.com")
    by_address, _ = await suppressions.put_suppression(
        session, "acme", "email", address="ana@example.com", reason="complained"
    )
    for target, reason in ((ana, "complained"), (ben, "complained")):
        await suppressions.put_suppression(
            session, "acme", "email", contact_id=target, reason=reason
        )
    await suppressions.lift_suppression(session, "acme", by_address.id, **BY)
    left, _ = await suppressions.list_suppressions(session, "acme")
    [of_ben] = left
    assert of_ben.contact_id == ben
    await suppressions.put_suppression(
        session, "acme", "email", address="ben@example.com", reason="complained"
    )
    await suppressions.lift_suppression(session, "acme", of_ben.id, **BY)
    assert await suppressions.list_suppressions(session, "acme") == ([], 0)


async def test_suppressions_are_found_by_the_beginning_and_by_the_whole_of_an_address(
    session: Session,
) -> None:
    for address in ("ana@example.com", "anna@example.com", "a_a@example.com"):
        await suppressions.put_suppression(session, "acme", "email", address=address)
    token, _ = await suppressions.put_suppression(session, "acme", "push", address="AnToken")

    async def found(search: str | None = None, address: str | None = None) -> list[str | None]:
        rows, total = await suppressions.list_suppressions(
            session, "acme", search=search, address=address
        )
        assert len(rows) == total
        return [row.address for row in rows]

    assert await found(search="AN") == ["anna@example.com", "ana@example.com"]
    assert await found(search="An") == ["AnToken", "anna@example.com", "ana@example.com"]
    assert await found(search="a_") == ["a_a@example.com"]
    assert await found(address=" ANNA@example.com") == ["anna@example.com"]
    assert await found(address="nothing like it") == []
    page = await suppressions.list_suppressions(session, "acme", limit=1, offset=0)
    assert page == ([token], 4)


async def test_of_many_suppressions_the_wrong_ones_are_refused_by_line(session: Session) -> None:
    ana = await contact(session, "acme", phone="+491701234567")
    wanted = [
        Wanted(1, "email", "Ana@example.com", None, "first"),
        Wanted(2, "email", "ana@example.com", None, "second"),
        Wanted(3, "sms", None, ana, "manual"),
        Wanted(4, "sms", None, uuid4(), "manual"),
        Wanted(5, "sms", "+491701234567", ana, "manual"),
        Wanted(6, "email", "nonsense", None, "manual"),
    ]
    done = await suppress_all(session, "acme", wanted)
    assert (done.added, done.existing) == (2, 1)
    assert [(line, rule.partition(":")[0]) for line, rule in done.refused] == [
        (4, "contactId"),
        (5, "address"),
        (6, "address"),
    ]
    listed, _ = await suppressions.list_suppressions(session, "acme", channel="email")
    assert [(one.address, one.reason) for one in listed] == [("ana@example.com", "first")]
    assert (await suppress_all(session, "acme", [])).added == 0


@pytest.mark.parametrize("reason", ["manual", "unsubscribed"])
async def test_what_the_tenant_enters_in_bulk_no_start_lifts(session: Session, reason: str) -> None:
    ana = await contact(session, "acme", email="ana@example.com")
    targets: list[dict[str, Any]] = [{"address": "ana@example.com"}, {"contact_id": ana}]
    for target in targets:
        one, is_new = await suppressions.put_suppression(
            session, "acme", "email", reason=opt_ins.REASON, **target
        )
        await opt_ins.mark_one(session, one, "mailgun", datetime.now(UTC), is_new)
    wanted = [
        Wanted(1, "email", "ana@example.com", None, reason),
        Wanted(2, "email", None, ana, reason),
    ]
    assert (await suppress_all(session, "acme", wanted)).existing == 2
    rows, _ = await suppressions.list_suppressions(session, "acme")
    assert [(one.reason, one.way) for one in rows] == [(opt_ins.REASON, None)] * 2


_MANY = """
INSERT INTO suppressions (tenant_id, channel, address, reason)
SELECT 'acme', 'email', %(name)s || n || '@example.com', %(reason)s
  FROM generate_series(1, 8000) AS n"""


async def test_a_first_import_costs_each_row_the_same_whatever_the_statistics_say(
    session: Session,
) -> None:
    """Of a transaction that is not over there are none. Rows with the reason `unsubscribed` are the
    measure: nothing is looked up for them.
    """

    async def seconds(name: str, reason: str) -> float:
        began = time.perf_counter()
        await session.run(_MANY, name=name, reason=reason)
        return time.perf_counter() - began

    await seconds("first", "manual")
    measure = await seconds("second", "unsubscribed")
    looked_up = min([await seconds(name, "manual") for name in ("third", "fourth", "fifth")])
    assert looked_up < 15 * measure  # it was 100 times as much
