"""The rows of routes and their credentials, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from streams.contracts.routes import RouteSettings, bounces_of
from streams.errors import CampaignError, ConflictError, NotFoundError
from streams.settings import Settings
from tables.database.connection import Database, Session
from tables.models import Route
from tables.tenants import routes
from tables.tenants.audit import Author, list_entries
from tables.tenants.routes import MOST_ROUTES, Credentials, opened, sealing, settings_of
from tables.tenants.seals import SealError
from tables.tenants.tenants import create_tenant
from tests.connectors.routes.given import settings
from tests.postgres import sql
from tests.streams.contracts.routes.test_http import made as http
from tests.streams.contracts.routes.test_smtp import made

ANA = Author("ana")
SECRET = Credentials("the user", "the password")


async def put(
    session: Session,
    settings: Settings,
    route: RouteSettings | None = None,
    credentials: Credentials | None = None,
    **where: Any,
) -> Route:
    tenant, name = where.get("tenant", "acme"), where.get("name", "relay")
    seal = sealing(settings)
    return await routes.put(session, seal, tenant, name, route or made(), credentials, ANA)


async def test_a_route_is_set_up_replaced_and_removed(
    session: Session, sql_settings: Settings
) -> None:
    first = await put(session, sql_settings, made(limits={"perHour": 20_000}), SECRET)
    assert await routes.get_route(session, "acme", "relay") == first
    assert settings_of(first) == made(limits={"perHour": 20_000})
    assert opened(sealing(sql_settings), first) == SECRET
    second = await put(session, sql_settings, made(priority=2))
    assert settings_of(second) == made(priority=2) and second.created_at == first.created_at
    await routes.remove(session, "acme", "relay", ANA)
    for what in (routes.get_route, routes.remove, routes.lock_known, routes.pause, routes.resume):
        with pytest.raises(NotFoundError, match="no route relay"):
            await what(session, "acme", "relay")
    with pytest.raises(NotFoundError, match="no tenant"):
        await put(session, sql_settings, tenant="nobody")
    again = await put(session, sql_settings)
    assert opened(sealing(sql_settings), again) is None


async def test_credentials_stay_for_the_server_that_they_were_given_for_and_for_no_other(
    session: Session, sql_settings: Settings
) -> None:
    await put(session, sql_settings, made(), SECRET)
    same = await put(session, sql_settings, made(host="SMTP.Acme.Example", weight=5))
    assert opened(sealing(sql_settings), same) == SECRET
    for change in (
        {"host": "smtp.evil.example"},
        {"port": 25},
        {"tls": "none"},
        {"tls": "none", "allowPlaintext": True},
    ):
        with pytest.raises(CampaignError, match=r"smtp\.acme\.example:587 with tls starttls") as no:
            await put(session, sql_settings, made(**change))
        assert [error.field for error in no.value.errors] == ["password"]
        assert await routes.get_route(session, "acme", "relay") == same
    moved = made(host="smtp.other.example")
    new = Credentials("another", "password")
    assert opened(sealing(sql_settings), await put(session, sql_settings, moved, new)) == new


async def test_a_provider_that_lets_nobody_in_without_its_key_is_not_set_up_without_one(
    session: Session, sql_settings: Settings
) -> None:
    resend = http("resend")
    with pytest.raises(CampaignError) as refused:
        await put(session, sql_settings, resend)
    assert [error.field for error in refused.value.errors] == ["password"]
    key = Credentials("", "the key")
    first = await put(session, sql_settings, resend, key)
    assert settings_of(first) == resend and routes.is_set(first) == ["password"]
    again = await put(session, sql_settings, http("resend", weight=5))
    assert opened(sealing(sql_settings), again) == key
    for other in (http("brevo"), http("resend", url="https://proxy.example"), made()):
        with pytest.raises(CampaignError, match=r"resend at api\.resend\.com:443 with tls tls"):
            await put(session, sql_settings, other)
    await routes.note_check(session, again, "ok", ANA)
    [noted] = await list_entries(session, "acme", limit=1)
    assert noted.details == {"host": "api.resend.com", "status": "ok"}


async def test_what_is_stored_shows_no_credential_and_opens_for_its_own_row_alone(
    session: Session, sql_settings: Settings
) -> None:
    await put(session, sql_settings, made(), SECRET)
    await put(session, sql_settings, made(), SECRET, tenant="other")
    await put(session, sql_settings, made(), SECRET, name="relay-2")
    rows = await session.values("SELECT r::text FROM routes r")
    assert len(rows) == 3
    for secret in ("the user", "the password"):
        for spelling in (secret, secret.encode().hex()):
            assert not any(spelling in row for row in rows)
    assert "the" not in repr(SECRET)
    ours = await routes.get_route(session, "acme", "relay")
    for tenant, name in (("other", "relay"), ("acme", "relay-2")):
        moved = update(Route).where(Route.tenant_id == tenant, Route.name == name)
        await session.execute(moved.values(sealed=ours.sealed))
        with pytest.raises(SealError, match=f"The secret of {name} cannot be opened"):
            opened(sealing(sql_settings), await routes.get_route(session, tenant, name))


_IMAP = {"host": "imap.acme.example"}
_MAILBOX = Credentials("bounces", "another password")


async def test_credentials_of_a_mailbox_stay_for_the_same_server_only(
    session: Session, sql_settings: Settings
) -> None:
    seal, given = sealing(sql_settings), made(bounces={"domain": "b.acme.example", "imap": _IMAP})
    with pytest.raises(CampaignError, match=r"bounces\.imap\.password"):
        await put(session, sql_settings, given)
    await routes.put(session, seal, "acme", "relay", given, SECRET, ANA, mailbox=_MAILBOX)
    same = made(bounces={"domain": "other.example", "imap": _IMAP | {"folder": "Bounces"}})
    kept = await put(session, sql_settings, same)
    assert (opened(seal, kept), routes.opened_mailbox(seal, kept)) == (SECRET, _MAILBOX)
    assert [one.name for one in await routes.with_bounces(session)] == ["relay"]
    for change in ({"host": "imap.evil.example"}, {"port": 143}, {"tls": "none"}):
        moved = made(bounces={"domain": "b.acme.example", "imap": _IMAP | change})
        with pytest.raises(CampaignError, match=r"bounces\.imap\.password.*not sent there"):
            await put(session, sql_settings, moved)
    bare = await put(session, sql_settings, made(bounces={"domain": "b.acme.example"}))
    assert routes.opened_mailbox(seal, bare) is None
    assert bounces_of(settings_of(bare)) is not None
    without = await put(session, sql_settings, made())
    assert "bounces" not in without.settings  # a worker of the version before reads it
    assert await routes.with_bounces(session) == []


def test_the_secrets_of_relay_and_mailbox_do_not_open_in_each_others_place() -> None:
    seal = sealing(settings())
    of_relay = seal.close(SECRET, "acme", "relay")
    of_mailbox = seal.close(_MAILBOX, "acme", "relay" + routes.MAILBOX)
    right = Route(tenant_id="acme", name="relay", sealed=of_relay, sealed_mailbox=of_mailbox)
    assert opened(seal, right) == SECRET and routes.opened_mailbox(seal, right) == _MAILBOX
    wrong = Route(tenant_id="acme", name="relay", sealed=of_mailbox, sealed_mailbox=of_relay)
    for open_one in (opened, routes.opened_mailbox):
        with pytest.raises(SealError):
            open_one(seal, wrong)


async def test_a_paused_route_stays_paused_when_its_settings_are_replaced(
    session: Session, sql_settings: Settings
) -> None:
    await put(session, sql_settings)
    paused = await routes.pause(session, "acme", "relay", ANA)
    assert paused.paused_at is not None
    assert await routes.pause(session, "acme", "relay", ANA) == paused
    replaced = await put(session, sql_settings, made(weight=1))
    assert replaced.paused_at == paused.paused_at
    assert (await routes.resume(session, "acme", "relay", ANA)).paused_at is None
    assert (await routes.resume(session, "acme", "relay", ANA)).paused_at is None


async def test_twenty_at_most_even_when_many_are_set_up_at_once(
    pool: Database, sql_settings: Settings
) -> None:
    async with pool.transaction() as session:
        await create_tenant(session, "acme")
        for number in range(MOST_ROUTES - 3):
            await put(session, sql_settings, name=f"n{number}")

    async def add(number: int) -> bool:
        try:
            async with pool.transaction() as session:
                await put(session, sql_settings, name=f"m{number}")
        except ConflictError as error:
            assert f"the limit is {MOST_ROUTES}" in error.detail
            return False
        return True

    assert sum(await asyncio.gather(*map(add, range(9)))) == 3
    assert await sql(pool).fetchval("SELECT count(*) FROM routes") == MOST_ROUTES
    async with pool.transaction() as session:
        await put(session, sql_settings, made(weight=7), name="n0")  # one that is there
        await routes.remove(session, "acme", "n1")
        await put(session, sql_settings, name="last")
        found, total = await routes.list_routes(session, "acme", limit=2)
        names = sorted(route.name for route in (await routes.list_routes(session, "acme"))[0])
    assert [route.name for route in found] == names[:2] and total == MOST_ROUTES


async def test_each_change_and_each_check_is_noted_without_credentials(
    session: Session, sql_settings: Settings
) -> None:
    await put(session, sql_settings, made(), SECRET)
    route = await put(session, sql_settings, made(port=587))
    await routes.note_check(session, route, "error", ANA)
    for change in (routes.pause, routes.pause, routes.resume, routes.resume, routes.remove):
        await change(session, "acme", "relay", ANA)
    noted = await list_entries(session, "acme", limit=6)
    assert {one.subject for one in noted} == {"relay"} and {one.actor for one in noted} == {"ana"}
    told = {"host": "smtp.acme.example", "port": 587, "tls": "starttls"}
    assert [(one.action, one.details) for one in reversed(noted)] == [
        ("route.set", told | {"newCredentials": True}),
        ("route.set", told | {"newCredentials": False}),
        ("route.checked", {"host": "smtp.acme.example", "status": "error"}),
        ("route.paused", {}),
        ("route.resumed", {}),
        ("route.removed", {}),
    ]
