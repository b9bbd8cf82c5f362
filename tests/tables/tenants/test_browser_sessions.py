"""Codes that sign one browser in, and the sessions of browsers, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tables.database.connection import Database, Session
from tables.tenants import api_keys, browser_sessions
from tables.tenants.browser_sessions import (
    CODE_LIFE,
    IDLE,
    LONGEST,
    MOST_CODES,
    MOST_SESSIONS,
    end,
    make_code,
    open_by_code,
    open_by_key,
    resume,
)
from tables.tenants.tenants import create_tenant
from tests.postgres import sql

_LEFT = "SELECT expires_at - now() FROM {}"


async def new_code(session: Session, key: str) -> str:
    made = await make_code(session, key)
    assert made is not None
    return made[0]


async def new_session(session: Session, key: str) -> str:
    made = await open_by_key(session, key)
    assert made is not None
    return made[0]


async def test_a_code_opens_one_session_of_the_keys_user_and_role(session: Session) -> None:
    key = await api_keys.create_key(session, "acme", role="editor")
    made = await make_code(session, key.text)
    assert made is not None
    opened = await open_by_code(session, made[0])
    assert opened is not None
    assert opened[1] == api_keys.Caller("acme", key.user_id, "editor", key.id)
    assert await resume(session, opened[0]) == opened[1]
    assert await open_by_code(session, made[0]) is None
    assert await resume(session, made[0]) is None, "a code is no session"
    assert await open_by_code(session, opened[0]) is None, "a session is no code"


async def test_nothing_that_signs_in_is_stored(session: Session) -> None:
    key = await api_keys.create_key(session, "acme")
    unused, used = [await new_code(session, key.text) for _ in range(2)]
    opened = await open_by_code(session, used)
    assert opened is not None
    for table in ("sign_in_codes", "browser_sessions", "api_keys"):
        rows = str([tuple(row) for row in await sql(session).fetch(f"SELECT * FROM {table}")])
        for secret in (unused, used, opened[0], key.text.rpartition("_")[2]):
            assert secret not in rows and len(secret) >= 43, table


async def test_of_ten_that_use_a_code_at_the_same_moment_one_signs_in(pool: Database) -> None:
    async with pool.transaction() as session:
        await create_tenant(session, "acme")
        code = await new_code(session, (await api_keys.create_key(session, "acme")).text)
    answers = await asyncio.gather(
        *(pool.once(lambda session: open_by_code(session, code)) for _ in range(10))
    )
    assert len([answer for answer in answers if answer]) == 1
    assert await sql(pool).fetchval("SELECT count(*) FROM browser_sessions") == 1


async def test_a_code_ends_after_ten_minutes(session: Session) -> None:
    key = await api_keys.create_key(session, "acme")
    code = await new_code(session, key.text)
    assert await sql(session).fetchval(_LEFT.format("sign_in_codes")) == CODE_LIFE
    await sql(session).execute("UPDATE sign_in_codes SET expires_at = now()")
    assert await open_by_code(session, code) is None


@pytest.mark.parametrize("text", ["", "x", "a" * 43, "a" * 44, "ä" * 43, "a" * 42 + "\n"])
async def test_what_is_no_code_and_no_session_opens_nothing(session: Session, text: str) -> None:
    assert await open_by_code(session, text) is None
    assert await open_by_key(session, text) is None
    assert await make_code(session, text) is None
    assert await resume(session, text) is None
    await end(session, text)


async def test_a_session_ends_when_it_is_not_used_for_eight_hours_and_after_a_week_anyway(
    session: Session,
) -> None:
    key = await api_keys.create_key(session, "acme")
    opened = await new_session(session, key.text)

    async def left(after: timedelta, *, is_used: bool = True) -> timedelta | None:
        """What is left of it so long after it was used last, and is used now or looked at."""
        await sql(session).execute(
            "UPDATE browser_sessions SET expires_at = expires_at - $1::interval,"
            " ends_at = ends_at - $1::interval",
            after,
        )
        found = await resume(session, opened, is_used=is_used)
        rest = await sql(session).fetchval(_LEFT.format("browser_sessions"))
        assert (found is None) is (rest <= timedelta(0))
        return rest if found else None

    minute = timedelta(minutes=1)
    assert await left(timedelta(0)) == IDLE
    assert await left(4 * minute) == IDLE - 4 * minute, "not a write for every request"
    assert await left(4 * minute) == IDLE
    assert await left(IDLE - minute, is_used=False) == minute
    assert await left(timedelta(0)) == IDLE
    passed = IDLE + 7 * minute
    while passed < LONGEST - IDLE:
        assert await left(IDLE - minute) == min(IDLE, LONGEST - passed - IDLE + minute)
        passed += IDLE - minute
    assert await left(LONGEST - passed - minute) == minute, "use does not move the end"
    assert await left(minute) is None
    assert await left(timedelta(0)) is None


async def test_a_session_ends_at_sign_out_and_the_others_of_the_key_go_on(session: Session) -> None:
    key = await api_keys.create_key(session, "acme")
    here, there = [await new_session(session, key.text) for _ in range(2)]
    for _ in range(2):
        await end(session, here)
    assert await resume(session, here) is None
    assert await resume(session, there) is not None


async def test_sessions_and_codes_end_with_their_key(session: Session) -> None:
    for change in (
        "UPDATE api_keys SET revoked_at = now() WHERE id = $1",
        "UPDATE api_keys SET expires_at = now() WHERE id = $1",
        "DELETE FROM api_keys WHERE id = $1",
    ):
        key, other = [await api_keys.create_key(session, "acme") for _ in range(2)]
        opened, going_on = [await new_session(session, one.text) for one in (key, other)]
        code = await new_code(session, key.text)
        await sql(session).execute(change, key.id)
        assert await resume(session, opened) is None, change
        assert await open_by_code(session, code) is None, change
        assert await make_code(session, key.text) is None, change
        assert await resume(session, going_on) is not None, change


@pytest.mark.parametrize("role", ["viewer", "sender", "admin"])
async def test_a_session_ends_when_its_key_has_another_role_or_user(
    session: Session, role: str
) -> None:
    key = await api_keys.create_key(session, "acme", role="editor")
    by_role, code = await new_session(session, key.text), await new_code(session, key.text)
    await sql(session).execute("UPDATE api_keys SET role = $1", role)
    assert await resume(session, by_role) is None
    opened = await open_by_code(session, code)
    assert opened is not None and opened[1].role == role, "a code stands for the key of now"
    await sql(session).execute("UPDATE api_keys SET user_id = uuidv7()")
    assert await resume(session, opened[0]) is None


async def test_what_an_old_secret_has_signed_in_ends_with_its_grace(session: Session) -> None:
    """A key is rotated because somebody else has it, who may have signed in with it."""
    key = await api_keys.create_key(session, "acme")
    before, code = await new_session(session, key.text), await new_code(session, key.text)
    after = await api_keys.rotate_key(session, "acme", key.id, timedelta(hours=1))
    assert await resume(session, before) is not None
    fresh, by_old = await new_session(session, after), await new_session(session, key.text)
    await sql(session).execute("UPDATE api_keys SET previous_expires_at = now()")
    for ended in (before, by_old):
        assert await resume(session, ended) is None
    assert await open_by_code(session, code) is None
    assert await resume(session, fresh) is not None
    await api_keys.rotate_key(session, "acme", key.id, timedelta(0))
    assert await resume(session, fresh) is None


async def test_a_key_has_a_bounded_number_of_codes_and_sessions_the_newest_of_them(
    session: Session,
) -> None:
    key, other = [await api_keys.create_key(session, "acme") for _ in range(2)]
    theirs = await new_session(session, other.text)
    for _ in range(MOST_CODES + 3):
        await new_code(session, key.text)
    assert await sql(session).fetchval("SELECT count(*) FROM sign_in_codes") == MOST_CODES
    opened = list[str]()
    for _ in range(MOST_SESSIONS + 3):
        await sql(session).execute(
            "UPDATE browser_sessions SET expires_at = expires_at - interval '1 second'"
        )
        opened.append(await new_session(session, key.text))
    good = [one for one in opened if await resume(session, one, is_used=False)]
    assert good == opened[3:]
    assert await resume(session, theirs) is not None


async def test_two_sign_ins_at_once_beyond_the_bound_both_succeed(pool: Database) -> None:
    async with pool.transaction() as session:
        await create_tenant(session, "acme")
        key = (await api_keys.create_key(session, "acme")).text
        for _ in range(MOST_SESSIONS):
            await new_session(session, key)
    opened = await asyncio.gather(
        *(pool.once(lambda session: open_by_key(session, key)) for _ in range(12))
    )
    assert None not in opened
    async with pool.transaction() as session:
        assert await browser_sessions.open_by_key(session, key) is not None
    count = await sql(pool).fetchval("SELECT count(*) FROM browser_sessions")
    assert count == MOST_SESSIONS
