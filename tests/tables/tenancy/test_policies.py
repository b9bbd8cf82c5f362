"""Statements that forget their tenant, under the role of the API: PostgreSQL keeps them to the rows
of the tenant for which the session acts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import chain

import psycopg
import pytest

from streams.settings import Settings
from tables.database.connection import Database
from tables.installation.roles import GRANTS
from tables.models import Base
from tables.tenancy import acting, policies
from tests.postgres import Client, DatabaseError, sql
from tests.postgres import connect as connect_client
from tests.tables.commands.tenant_rows import Marked, fill, insert, rows_with
from tests.tables.installation.as_roles import Roles, with_roles

_WITH_POLICY = (*policies.OWN_ROWS, *policies.READ_BY_ALL)


@dataclass
class Two:
    """Two tenants with a row in every table, and the API's database."""

    roles: Roles
    admin: Client
    api: Database
    acme: Marked
    globex: Marked


@pytest.fixture
async def two(database: str, sql_settings: Settings) -> AsyncIterator[Two]:
    admin = await connect_client(database)
    async with with_roles(database) as roles:
        acme, globex = Marked("acme"), Marked("globex")
        for tenant in (acme, globex):
            await fill(admin, tenant)
        of_api = sql_settings.model_copy(update={"postgres": roles.of("api")})
        async with Database(of_api, "test", max_size=2, by_tenant=True) as api:
            yield Two(roles, admin, api, acme, globex)
    await admin.close()


def _may(table: str, what: str) -> str:
    """The column that the API may name when it does this with the table; "" when it may not."""
    for granted in GRANTS[table].api.replace(", ", "\n").splitlines():
        if granted.startswith(what):
            named = granted.partition("(")[2].rstrip(")")
            free = (one.name for one in Base.metadata.tables[table].columns if not one.identity)
            return named or next(free)
    return ""


def test_every_table_that_the_api_may_use_has_a_policy_or_a_reason() -> None:
    used = {table for table, access in GRANTS.items() if access.api}
    assert used == {*_WITH_POLICY, *policies.NONE}
    assert not set(_WITH_POLICY) & set(policies.NONE)


def test_a_table_that_names_its_tenant_has_a_policy() -> None:
    named = {name for name, table in Base.metadata.tables.items() if "tenant_id" in table.columns}
    unused = {table for table, access in GRANTS.items() if not access.api}
    assert named - unused <= set(_WITH_POLICY)


@pytest.mark.parametrize("table", policies.OWN_ROWS)
async def test_a_query_that_forgets_its_tenant_sees_the_rows_of_one(two: Two, table: str) -> None:
    query = f"SELECT t::text FROM {table} AS t"
    theirs = {
        who.tenant: (await rows_with(two.admin, who))[table] for who in (two.acme, two.globex)
    }
    assert all(theirs.values())
    for tenant, rows in theirs.items():
        with acting.acting_for(tenant):
            assert sorted(row[0] for row in await sql(two.api).fetch(query)) == rows
    assert await sql(two.api).fetch(query) == []
    with acting.every_tenant():
        found = await sql(two.api).fetch(query)
    assert sorted(row[0] for row in found) == sorted(chain(*theirs.values()))


@pytest.mark.parametrize("table", _WITH_POLICY)
@pytest.mark.parametrize("what", ["UPDATE", "DELETE"])
async def test_a_change_that_forgets_its_tenant_changes_the_rows_of_one(
    two: Two, table: str, what: str
) -> None:
    if not (column := _may(table, what)):
        return
    change = (
        f"UPDATE {table} SET {column} = {column}" if what == "UPDATE" else f"DELETE FROM {table}"
    )
    before = (await rows_with(two.admin, two.globex))[table]
    async with two.api.transaction() as session:
        assert await session.run(change) == 0
    with acting.acting_for("acme"):
        try:
            async with two.api.transaction() as session:
                assert await session.run(change) == 1
        except psycopg.errors.ForeignKeyViolation:
            assert what == "DELETE"  # other rows of the tenant need them
    assert (await rows_with(two.admin, two.globex))[table] == before


@pytest.mark.parametrize("table", _WITH_POLICY)
async def test_a_row_of_another_tenant_is_not_inserted(two: Two, table: str) -> None:
    if not _may(table, "INSERT"):
        return
    of_globex = Marked("globex", dict(two.globex.ids), two.globex.number)
    if table in ("contacts", "campaigns", "segments", "templates"):  # an id that is free
        of_globex.ids = Marked("globex").ids | {"template": two.globex.ids["template"]}
    client = await connect_client(two.roles.of("api"))
    for tenant in ("acme", acting.NOBODY):
        await client.execute("SELECT set_config($1, $2, false)", acting.SETTING, tenant)
        with pytest.raises(DatabaseError, match="row-level security policy"):
            await insert(client, Base.metadata.tables[table], of_globex)
    await client.close()


@pytest.mark.parametrize(
    "table", sorted(name for name, own in policies.OWN_ROWS.items() if "tenant_id" in own)
)
async def test_a_row_is_not_given_to_another_tenant(two: Two, table: str) -> None:
    if not _may(table, "UPDATE") or "(" in GRANTS[table].api:
        return
    with acting.acting_for("acme"), pytest.raises(DatabaseError, match="row-level security"):
        await sql(two.api).execute(f"UPDATE {table} SET tenant_id = 'globex'")


async def test_what_says_who_calls_is_read_for_all_and_written_for_one(two: Two) -> None:
    for table in policies.READ_BY_ALL:
        assert await sql(two.api).fetchval(f"SELECT count(*) FROM {table}") == 2
    with acting.acting_for("acme"):
        await sql(two.api).execute("UPDATE tenants SET daily_limit = 7")
    limits = await two.admin.fetch("SELECT id, daily_limit FROM tenants ORDER BY id")
    assert [tuple(row) for row in limits] == [("acme", 7), ("globex", None)]


@pytest.mark.parametrize("view", policies.VIEWS)
async def test_a_view_shows_the_rows_that_its_table_does(two: Two, view: str) -> None:
    for tenant in ("acme", "globex"):
        with acting.acting_for(tenant):
            assert await sql(two.api).fetchval(f"SELECT array_agg(tenant_id) FROM {view}") == [
                tenant
            ]
    assert await sql(two.api).fetchval(f"SELECT count(*) FROM {view}") == 0


async def test_expired_tokens_of_every_tenant_are_swept(two: Two) -> None:
    await two.admin.execute("UPDATE webhook_tokens SET expires_at = now() - interval '1 hour'")
    with acting.acting_for("acme"):
        await sql(two.api).execute("DELETE FROM webhook_tokens WHERE expires_at < now()")
    assert await two.admin.fetchval("SELECT count(*) FROM webhook_tokens") == 0


async def test_workers_and_the_owner_see_every_row(two: Two) -> None:
    for login in ("workers", "migrations"):
        client = await connect_client(two.roles.of(login))
        for table in _WITH_POLICY:
            assert await client.fetchval(f"SELECT count(*) FROM {table}") == 2, table
        await client.close()


async def test_an_older_api_works_on_until_its_role_is_told_to_act_for_nobody(two: Two) -> None:
    """It never says for whom it acts."""
    for expected, told in ((2, None), (0, f"SET {acting.SETTING} = ''")):
        if told is not None:
            await two.admin.execute(f'ALTER ROLE "{two.roles.prefix}-api" {told}')
        client = await connect_client(two.roles.of("api"))
        for table in policies.OWN_ROWS:
            assert await client.fetchval(f"SELECT count(*) FROM {table}") == expected, table
        await client.close()
    with acting.acting_for("acme"):  # the API of today says it itself
        assert await sql(two.api).fetchval("SELECT count(*) FROM contacts") == 1


async def test_an_id_of_another_tenants_contact_is_known_to_be_taken_and_no_more(two: Two) -> None:
    contact = two.globex.ids["contact"]
    taken = "SELECT is_of_another_tenant($1, 'acme')"
    with acting.acting_for("acme"):
        assert await sql(two.api).fetchval(taken, contact)
        assert not await sql(two.api).fetchval(taken, two.acme.ids["contact"])
        assert await sql(two.api).fetchrow("SELECT FROM contacts WHERE id = $1", contact) is None


async def test_an_address_goes_on_counting_whichever_tenant_had_the_contact(two: Two) -> None:
    contact = two.globex.ids["contact"]
    await two.admin.execute("DELETE FROM former_addresses")
    await two.admin.execute(
        "INSERT INTO former_addresses (contact_id, field, version, tenant_id)"
        " SELECT $1, field, version, 'globex'"
        "   FROM (VALUES ('email', 0), ('email', 1), ('phone', 0)) AS former (field, version)",
        contact,
    )
    with acting.acting_for("acme"):
        query = "SELECT * FROM next_address_versions($1)"
        assert tuple(await sql(two.api).fetchrow(query, contact) or ()) == (2, 1, 0)
        assert await sql(two.api).fetchrow(query, None) is None
