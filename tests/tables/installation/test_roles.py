"""The roles of PostgreSQL: every table is granted on purpose, and a role is refused what is not its
work.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator

import pytest

from agents.jobs.housekeeping import Housekeeping
from streams.settings import Settings
from tables.installation import roles
from tables.models import Base
from tests.postgres import Client, DatabaseError
from tests.postgres import connect as connect_client
from tests.tables.commands.tenant_rows import KEPT, Marked, fill, rows_with
from tests.tables.installation.as_roles import Roles, with_roles


@pytest.fixture
async def made(database: str) -> AsyncIterator[Roles]:
    async with with_roles(database) as made:
        yield made


def test_every_table_is_granted_on_purpose() -> None:
    assert set(roles.GRANTS) == {*Base.metadata.tables, "alembic_version"}


@pytest.mark.parametrize("table", sorted(roles.GRANTS))
@pytest.mark.parametrize("login", ["api", "workers"])
def test_a_grant_names_columns_that_there_are(table: str, login: str) -> None:
    granted: str = getattr(roles.GRANTS[table], login)
    for columns in (part.partition(")")[0] for part in granted.split("(")[1:]):
        known = Base.metadata.tables[table].columns
        assert {name.strip() for name in columns.split(",")} <= set(known.keys())


async def test_the_statements_may_be_repeated_and_grant_exactly_the_table(made: Roles) -> None:
    await made.apply()
    admin = await connect_client(made.dsn)
    for table, access in roles.GRANTS.items():
        for login in ("api", "workers"):
            found = await admin.fetchval(
                "SELECT string_agg(DISTINCT privilege, ', ' ORDER BY privilege)"
                "  FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',"
                "                    'TRIGGER']) AS t(privilege)"
                " WHERE has_table_privilege($1, $2, privilege)",
                *(f"{made.prefix}-{login}", table),
            )
            whole = set(re.sub(r"\w+ \([^)]*\)", "", getattr(access, login)).split(", "))
            if table == "campaign_recipients" and login == "workers":
                whole |= {"TRUNCATE", "TRIGGER"}  # of the owner, whose member the role is
            assert set((found or "").split(", ")) - {""} == whole - {""}, (table, login)
    await admin.close()


async def _refused(client: Client, statement: str) -> None:
    with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
        await client.execute(statement)


async def test_the_api_cannot_do_what_is_not_its_work(made: Roles) -> None:
    api = await connect_client(made.of("api"))
    for statement in (
        "UPDATE audit_log SET reason = ''",
        "DELETE FROM audit_log",
        "UPDATE tenants SET suspended_at = NULL",
        "DELETE FROM tenants",
        "INSERT INTO tenants (id) VALUES ('another')",
        "DELETE FROM campaigns",
        "DELETE FROM api_keys",
        "UPDATE campaign_recipients SET status = 'sent'",
        "DELETE FROM campaign_recipients",
        "UPDATE installation SET partitions = 1",
        "DELETE FROM outbox",
        "SELECT * FROM complaint_pauses",
        "CREATE TABLE mine (id integer)",
        "DROP TABLE contacts",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "DROP TABLE campaign_recipients_0",
    ):
        await _refused(api, statement)
    await api.execute("SELECT ensure_recipient_partitions(9000)")
    await api.close()


async def test_workers_cannot_make_keys_or_secrets_and_nobody_alters_what_it_does_not_own(
    made: Roles,
) -> None:
    workers = await connect_client(made.of("workers"))
    for statement in (
        "INSERT INTO api_keys (id, tenant_id, user_id, role, secret_sha256)"
        " VALUES ('x', 'acme', uuidv7(), 'admin', '')",
        "UPDATE api_keys SET role = 'admin'",
        "UPDATE webhook_secrets SET sealed = ''",
        "UPDATE sender_domains SET verified_at = now()",
        "UPDATE routes SET paused_at = NULL",
        "INSERT INTO sender_domains (tenant_id, domain, token) VALUES ('acme', 'a.b', 'c')",
        "INSERT INTO tenants (id) VALUES ('another')",
        "UPDATE tenants SET suspended_at = NULL",
        "UPDATE tenants SET daily_limit = NULL",
        "UPDATE audit_log SET reason = ''",
        "UPDATE installation SET partitions = 1",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "DROP TABLE contacts",
        f'CREATE ROLE "{secrets.token_hex(4)}" SUPERUSER',
    ):
        await _refused(workers, statement)
    await workers.close()


async def test_the_housekeeping_needs_no_more_than_the_rights_of_the_workers(made: Roles) -> None:
    """Blocks are made ahead, an old one is dropped, and a tenant is removed."""
    admin = await connect_client(made.dsn)
    doomed = Marked("doomed-tenant")
    await fill(admin, doomed)
    await admin.execute(
        "UPDATE campaigns SET status = 'cancelled', updated_at = now() - interval '9 days'"
    )
    await admin.execute("SELECT setval('campaigns_number_seq', 1500)")
    await admin.execute(
        "INSERT INTO campaigns (tenant_id, name, channel, created_by)"
        " VALUES ('other', 'new', 'email', uuidv7())"
    )
    settings = Settings.model_validate(
        {
            "kafka": "",
            "nats": "",
            "postgres": made.of("workers"),
            "message_keys": "00" * 32,
            "ledger_retention": "P7D",
        }
    )
    await Housekeeping(None, settings).round()
    assert await admin.fetchval("SELECT to_regclass('campaign_recipients_4')::text") is not None
    assert await admin.fetchval("SELECT to_regclass('campaign_recipients_0')::text") is None
    await admin.execute(
        "UPDATE tenants SET delete_after = now() - interval '1 second' WHERE id = $1", doomed.tenant
    )
    for _ in range(5):
        await Housekeeping(None, settings).round()
    assert set(await rows_with(admin, doomed)) <= set(KEPT)
    await admin.close()
