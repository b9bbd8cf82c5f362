"""The rows of sender domains, on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from streams.errors import ConflictError, NotFoundError
from tables.database.connection import Database, Session
from tables.tenants import sender_domains
from tables.tenants.audit import Author, list_entries
from tables.tenants.sender_domains import (
    MOST_DOMAINS,
    Finding,
    add_domain,
    among,
    get_domain,
    list_domains,
    note_finding,
    remove_domain,
)
from tables.tenants.tenants import create_tenant
from tests.postgres import sql

ANA = Author("ana")


async def test_each_tenant_has_a_token_of_its_own_for_the_same_domain(session: Session) -> None:
    ours = await add_domain(session, "acme", "example.com")
    theirs = await add_domain(session, "other", "example.com")
    assert ours.token != theirs.token and len(ours.token) == 32
    assert ours.record_name == theirs.record_name == "_campaigns.example.com"
    assert ours.record_value == f"campaigns-verification={ours.token}"
    with pytest.raises(ConflictError, match=r"has the sender domain example\.com already"):
        await add_domain(session, "acme", "example.com")
    await note_finding(session, theirs, Finding.VERIFIED)
    assert (await get_domain(session, "acme", "example.com")).verified_at is None
    await remove_domain(session, "other", "example.com")
    assert await get_domain(session, "acme", "example.com") == ours
    again = await add_domain(session, "other", "example.com")
    assert again.token != theirs.token and again.verified_at is None


async def test_it_is_verified_since_the_first_of_the_answers_that_were_its_record(
    pool: Database,
) -> None:
    async with pool.transaction() as session:
        await create_tenant(session, "acme")
        added = await add_domain(session, "acme", "example.com")
    assert (added.checked_at, added.verified_at, added.finding) == (None, None, None)
    states = []
    for finding in (Finding.NO_TXT, Finding.VERIFIED, Finding.VERIFIED, Finding.OTHER_TOKEN):
        async with pool.transaction() as session:
            states.append(await note_finding(session, added, finding))
    assert [state.finding for state in states] == [
        "no-txt",
        "verified",
        "verified",
        "other-token",
    ]
    missing, first, second, lost = states
    assert missing.verified_at is None and lost.verified_at is None
    assert first.verified_at == first.checked_at == second.verified_at
    checked = [state.checked_at for state in states]
    assert None not in checked and checked == sorted(set(checked), key=str)


async def test_an_answer_about_a_record_that_is_another_one_now_changes_nothing(
    session: Session,
) -> None:
    asked = await add_domain(session, "acme", "example.com")
    await remove_domain(session, "acme", "example.com")
    with pytest.raises(NotFoundError):
        await note_finding(session, asked, Finding.VERIFIED)
    again = await add_domain(session, "acme", "example.com")
    with pytest.raises(ConflictError, match="added again"):
        await note_finding(session, asked, Finding.VERIFIED)
    assert await get_domain(session, "acme", "example.com") == again


async def test_what_is_not_there_is_not_found(session: Session) -> None:
    await add_domain(session, "other", "example.com")
    for what in (get_domain, remove_domain, sender_domains.lock_domain):
        with pytest.raises(NotFoundError, match=r"no sender domain example\.com"):
            await what(session, "acme", "example.com")
    with pytest.raises(NotFoundError, match="no tenant"):
        await add_domain(session, "nobody", "example.com")


async def test_a_page_is_by_name_and_those_among_many_are_the_longest_first(
    session: Session,
) -> None:
    for domain in ("b.example", "a.example", "x.b.example"):
        await add_domain(session, "acme", domain)
    await add_domain(session, "other", "y.x.b.example")
    found, total = await list_domains(session, "acme", limit=2)
    assert ([one.domain for one in found], total) == (["a.example", "b.example"], 3)
    above = ["y.x.b.example", "x.b.example", "b.example"]
    assert [one.domain for one in await among(session, "acme", above)] == above[1:]


async def test_a_hundred_at_most_even_when_many_are_added_at_once(pool: Database) -> None:
    async with pool.transaction() as session:
        await create_tenant(session, "acme")
        for number in range(MOST_DOMAINS - 3):
            await add_domain(session, "acme", f"n{number}.example")

    async def add(number: int) -> bool:
        try:
            async with pool.transaction() as session:
                await add_domain(session, "acme", f"m{number}.example")
        except ConflictError as error:
            assert f"the limit is {MOST_DOMAINS}" in error.detail
            return False
        return True

    assert sum(await asyncio.gather(*map(add, range(9)))) == 3
    assert await sql(pool).fetchval("SELECT count(*) FROM sender_domains") == MOST_DOMAINS
    async with pool.transaction() as session:
        await remove_domain(session, "acme", "n0.example")
        await add_domain(session, "acme", "last.example")


async def test_each_change_and_each_answer_is_noted(session: Session) -> None:
    added = await add_domain(session, "acme", "example.com", ANA)
    for finding in (Finding.NO_SUCH_NAME, Finding.VERIFIED, Finding.NO_SUCH_NAME):
        await note_finding(session, added, finding, ANA)
    await remove_domain(session, "acme", "example.com", ANA)
    noted = await list_entries(session, "acme", limit=5)
    assert [(one.actor, one.action, one.subject, one.details) for one in reversed(noted)] == [
        ("ana", "domain.added", "example.com", {}),
        ("ana", "domain.checked", "example.com", {"finding": "no-such-name"}),
        ("ana", "domain.checked", "example.com", {"finding": "verified"}),
        ("ana", "domain.checked", "example.com", {"finding": "no-such-name"}),
        ("ana", "domain.removed", "example.com", {}),
    ]
