"""For which tenant a task acts, and what it costs to tell a connection so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from streams.settings import Settings
from tables.database.connection import Database
from tables.database.driver import DriverConnection
from tables.tenancy import acting
from tests.postgres import sql

_ROOT = Path(__file__).parents[3]
#: Every place that sees the rows of all tenants, or of any.
_OF_ALL = {
    "api/recipients/known_campaigns.py": "the number in a link says whose the campaign is",
    "api/http/auth.py": "a credential says who calls",
}


Look = Callable[[Database], Awaitable[str]]


@pytest.fixture
async def one(sql_settings: Settings) -> AsyncIterator[Database]:
    """A database with a single connection, which every unit of work has to share."""
    async with Database(sql_settings, "test", max_size=1, by_tenant=True) as database:
        yield database


async def _told(database: Database) -> str:
    async with database.transaction() as session:
        return str(await session.value("SELECT acting_tenant()"))


async def _told_reading(database: Database) -> str:
    async with database.reading() as session:
        return str(await session.value("SELECT acting_tenant()"))


@pytest.mark.parametrize("look", [_told, _told_reading])
async def test_a_unit_of_work_acts_for_its_task_and_for_nobody_by_default(
    one: Database, look: Look
) -> None:
    assert await look(one) == acting.NOBODY
    with acting.acting_for("acme"):
        assert await look(one) == "acme"
        with acting.every_tenant():
            assert await look(one) == acting.EVERYBODY
        with acting.acting_for("globex"):
            assert await look(one) == "globex"
        assert await look(one) == "acme"
        with acting.for_nobody():
            assert await look(one) == acting.NOBODY
    with acting.finding_out_who_calls():
        assert await look(one) == acting.NOBODY  # as the one before has left it
    assert await look(one) == acting.NOBODY


async def test_a_rollback_and_an_error_leave_the_tenant_as_it_was_told(one: Database) -> None:
    with acting.acting_for("acme"):
        with pytest.raises(RuntimeError):
            async with one.transaction() as session:
                await sql(session).execute("SELECT 1")
                raise RuntimeError
        assert await _told(one) == "acme"
    assert await _told(one) == acting.NOBODY


async def test_tasks_act_as_the_one_that_started_them_and_disturb_nobody(
    sql_settings: Settings,
) -> None:
    async with Database(sql_settings, "test", max_size=3, by_tenant=True) as database:

        async def request(tenant: str) -> None:
            acting.act_for(tenant)
            for _ in range(5):
                assert await _told(database) == tenant
                inner = await asyncio.gather(*(_told_reading(database) for _ in range(3)))
                assert inner == [tenant] * 3

        tenants = ("acme", "globex", "initech", "hooli")
        await asyncio.gather(*(request(tenant) for tenant in tenants * 5))
        assert await _told(database) == acting.NOBODY


@pytest.mark.parametrize("name", ["", "*"])
def test_what_is_no_tenants_name_is_none_to_act_for(name: str) -> None:
    with pytest.raises(ValueError, match="no tenant has the name"):
        acting.act_for(name)


async def test_a_connection_is_told_only_when_the_tenant_changes(
    one: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()
    execute = DriverConnection.execute

    async def listened(self: DriverConnection, query: Any, *given: Any, **more: Any) -> Any:
        if "set_config" in str(query):
            told.append(given[0][1])
        return await execute(self, query, *given, **more)

    monkeypatch.setattr(DriverConnection, "execute", listened)
    for tenant in ("acme", "acme", "acme", "globex", "acme", "acme"):
        with acting.finding_out_who_calls():
            await _told_reading(one)
        with acting.acting_for(tenant):
            await _told(one)
    assert told == ["acme", "globex", "acme"]


def test_each_place_that_sees_more_than_one_tenant_is_listed() -> None:
    spelt = re.compile(r"\b(every_tenant|finding_out_who_calls)\(|by_tenant=True")
    found = {
        str(path.relative_to(_ROOT))
        for package in ("agents", "api", "connectors", "streams", "tables")
        for path in (_ROOT / package).rglob("*.py")
        if spelt.search(path.read_text())
    }
    assert found == {*_OF_ALL, "api/app.py", "tables/tenancy/acting.py"}
