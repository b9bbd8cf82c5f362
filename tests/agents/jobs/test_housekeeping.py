"""Housekeeping removes what is over and nothing else, makes blocks ahead, and waits for nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from agents.jobs.housekeeping import Housekeeping
from streams.settings import Settings
from tables.database import retention
from tables.database.connection import Database
from tests.postgres import Client
from tests.postgres import connect as connect_client

NOW = datetime.now(UTC)
BLOCKS = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'campaign_recipients'::regclass"


@pytest.fixture
async def client(database: str) -> AsyncIterator[Client]:
    client = await connect_client(database)
    await client.execute("INSERT INTO tenants (id) VALUES ('acme')")
    yield client
    await client.close()


@pytest.fixture
def here(database: str) -> Settings:
    return Settings.model_validate(
        {"kafka": "", "nats": "", "postgres": database, "message_keys": "00" * 32}
    )


async def _rows(client: Client, old: timedelta) -> None:
    """One row in every table that has a rule, `old` ago of no use any more."""
    at = NOW - old
    answer = "VALUES ('acme', 'rest', $2, '', 200, '{}', $1)"
    await client.execute(f"INSERT INTO answers {answer}", at, f"key-{old}")
    await client.execute(
        "INSERT INTO outbox_refused VALUES ($2, uuidv7(), 't', 'k', '', '', 'e', $1)",
        *(at, old // timedelta(seconds=1) % 1_000_000),
    )
    row = await client.fetchrow(
        "INSERT INTO campaigns"
        " (tenant_id, name, channel, type, created_by, status, updated_at, created_at)"
        " VALUES ('acme', 'Sale', 'email', 'triggered', uuidv7(), 'cancelled', $1, $1)"
        " RETURNING id",
        at,
    )
    assert row is not None
    await client.execute("INSERT INTO campaign_entries VALUES ($1, uuidv7(), now())", row["id"])
    await client.execute(
        "INSERT INTO webhook_tokens VALUES ('acme', 'mailgun', $2, 'm', $1)", at, f"token-{old}"
    )
    await client.execute(
        "INSERT INTO webhook_subscriptions VALUES ('acme', 'ses', $2, 'https://x', $1)",
        *(at, f"arn-{old}"),
    )
    await client.execute(
        "INSERT INTO api_keys (id, tenant_id, user_id, role, secret_sha256)"
        " VALUES ('key', 'acme', uuidv7(), 'admin', '') ON CONFLICT DO NOTHING"
    )
    hashed = f"convert_to('{old}', 'UTF8')"
    await client.execute(f"INSERT INTO sign_in_codes VALUES ({hashed}, 'key', '', $1)", at)
    await client.execute(
        f"INSERT INTO browser_sessions VALUES ({hashed}, 'key', uuidv7(), 'admin', '', $1, $1)", at
    )
    await client.execute("INSERT INTO test_sends VALUES ('acme', $1, 1)", at)
    await client.execute(
        "INSERT INTO opt_ins VALUES ('acme', 'sms', convert_to($2, 'UTF8'), $1)", at, f"hash-{old}"
    )


async def _counts(client: Client) -> dict[str, int]:
    return {
        rule.table: await client.fetchval(f"SELECT count(*) FROM {rule.table}")
        for rule in retention.RULES
    }


async def test_what_is_over_goes_and_the_rest_stays(client: Client, here: Settings) -> None:
    await _rows(client, timedelta(days=31))
    await _rows(client, -timedelta(hours=2))
    house = Housekeeping(None, here)
    await house.round()
    assert await _counts(client) == dict.fromkeys((rule.table for rule in retention.RULES), 1)
    await house.round()
    assert await _counts(client) == dict.fromkeys((rule.table for rule in retention.RULES), 1)
    assert await client.fetchval(BLOCKS) == 2 + 2 * 3  # two were there, and each round makes three


@pytest.mark.parametrize("rule", retention.RULES, ids=lambda rule: rule.table)
async def test_a_rule_keeps_what_is_a_minute_too_young(
    client: Client, here: Settings, rule: retention.Rule
) -> None:
    await _rows(client, rule.kept - timedelta(minutes=1))
    await _rows(client, rule.kept + timedelta(minutes=1))
    async with Database(here) as pool:
        for expected in (1, 0):
            assert await pool.once(lambda it: rule.remove(it, NOW, 10)) == expected
    assert (await _counts(client))[rule.table] == 1


async def test_entries_of_a_campaign_that_runs_are_kept_for_its_policy(
    client: Client, here: Settings
) -> None:
    await _rows(client, timedelta(days=800))
    await client.execute("UPDATE campaigns SET status = 'running'")
    await Housekeeping(None, here).round()
    assert (await _counts(client))["campaign_entries"] == 1


async def test_a_lock_that_somebody_holds_puts_its_part_off_and_nothing_else(
    client: Client, here: Settings, database: str
) -> None:
    await _rows(client, timedelta(days=31))
    other = await connect_client(database)
    await other.execute("BEGIN")
    await other.execute("UPDATE campaigns SET version = version + 1")
    await Housekeeping(None, here).round()
    assert await client.fetchval(BLOCKS) == 2
    assert (await _counts(client))["answers"] == 0
    await other.close()


async def test_old_blocks_of_the_ledger_go_only_when_that_is_wanted(
    client: Client, here: Settings
) -> None:
    await _rows(client, timedelta(days=800))
    await client.execute("SELECT setval(pg_get_serial_sequence('campaigns', 'number'), 1500)")
    await _rows(client, timedelta(days=1))
    await Housekeeping(None, here).round()
    first = "SELECT to_regclass('campaign_recipients_0')::text"
    assert await client.fetchval(first) is not None
    kept = here.model_copy(update={"ledger_retention": timedelta(days=900)})
    await Housekeeping(None, kept).round()
    assert await client.fetchval(first) is not None
    await Housekeeping(
        None, here.model_copy(update={"ledger_retention": timedelta(days=700)})
    ).round()
    assert await client.fetchval(first) is None
