"""The audit log on a real PostgreSQL: rows are added, shown, and neither changed nor lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.jobs.housekeeping import Housekeeping
from streams.errors import ConflictError
from streams.settings import Settings
from tables.database.connection import Session
from tables.tenants import api_keys, tenants
from tables.tenants.audit import Action, Author, list_entries, note
from tests.postgres import DatabaseError
from tests.postgres import connect as connect_client

BY = Author("somebody", "a key", "a request")


async def test_a_page_is_newest_first_and_of_one_tenant(session: Session) -> None:
    for number in range(5):
        for tenant in ("acme", "other"):
            subject = f"{tenant} {number}"
            await note(session, tenant, BY, Action.CONTACT_ERASED, subject=subject)
    only: dict[str, Any] = {"action": Action.CONTACT_ERASED}
    first = await list_entries(session, "acme", limit=3, **only)
    rest = await list_entries(session, "acme", after=first[-1].id, limit=3, **only)
    assert [entry.subject for entry in (*first, *rest)] == [f"acme {n}" for n in (4, 3, 2, 1, 0)]
    assert await list_entries(session, "acme", action=Action.KEY_ROTATED) == []
    now = datetime.now(UTC)
    assert await list_entries(session, "acme", until=now - timedelta(hours=1)) == []
    assert await list_entries(session, "acme", since=now + timedelta(hours=1)) == []
    within: dict[str, Any] = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    assert len(await list_entries(session, "acme", **within)) == 6  # and that it was created


async def test_a_key_leaves_no_secret_and_no_name_in_the_log(session: Session) -> None:
    made = await api_keys.create_key(session, "acme", name="Ana's laptop", by=BY)
    newer = await api_keys.rotate_key(session, "acme", made.id, timedelta(hours=1), BY)
    await api_keys.revoke_key(session, "acme", made.id, BY)
    await api_keys.revoke_key(session, "acme", made.id, BY)  # a repeat is no second revocation
    found = (await list_entries(session, "acme"))[:-1]
    assert [entry.action for entry in found] == ["key.revoked", "key.rotated", "key.created"]
    told = repr([(one.subject, one.details, one.reason, one.actor, one.key_id) for one in found])
    for secret in (made.text.split("_")[3], newer.split("_")[3], "Ana"):
        assert secret not in told
    assert {entry.subject for entry in found} == {made.id}
    assert {(one.actor, one.key_id, one.correlation_id) for one in found} == {
        ("somebody", "a key", "a request")
    }


async def test_a_name_is_not_given_again_while_its_log_is_kept(session: Session) -> None:
    await note(session, "gone", BY, Action.TENANT_DELETED, subject="tenant gone")
    with pytest.raises(ConflictError, match="another name"):
        await tenants.create_tenant(session, "gone")


_ENTRY = """
INSERT INTO audit_log (tenant_id, at, actor, action, subject, reason)
VALUES ('acme', now() - $1 * interval '1 day', 'x', 'key.created', 's', '')"""


async def test_nobody_changes_a_row_and_a_young_one_is_not_removed(database: str) -> None:
    client = await connect_client(database)
    for days in (0, 364, 366):
        await client.execute(_ENTRY, days)
    for change in (
        "UPDATE audit_log SET reason = 'another'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE at > now() - interval '365 days'",
        "TRUNCATE audit_log",
    ):
        with pytest.raises(DatabaseError, match="only added"):
            await client.execute(change)
    assert await client.fetchval("SELECT count(*) FROM audit_log") == 3
    await client.execute("DELETE FROM audit_log WHERE at < now() - interval '365 days'")
    assert await client.fetchval("SELECT count(*) FROM audit_log") == 2
    await client.close()


async def test_the_retention_removes_what_is_older_and_only_if_it_is_wanted(
    database: str, sql_settings: Settings
) -> None:
    client = await connect_client(database)
    for days in (0, 364, 399, 401, 900):
        await client.execute(_ENTRY, days)
    count = "SELECT count(*) FROM audit_log"
    await Housekeeping(None, sql_settings).round()
    assert await client.fetchval(count) == 5
    wanted = sql_settings.model_copy(update={"audit_retention": timedelta(days=400)})
    await Housekeeping(None, wanted).round()
    assert await client.fetchval(count) == 3
    await client.close()


@pytest.mark.parametrize(("given", "is_good"), [("PT0S", True), ("P365D", True), ("P364D", False)])
def test_a_retention_is_a_year_at_least(
    sql_settings: Settings, given: str, *, is_good: bool
) -> None:
    fields = {**sql_settings.model_dump(), "audit_retention": given}
    if is_good:
        Settings.model_validate(fields)
    else:
        with pytest.raises(ValueError, match="CAMPAIGNS_AUDIT_RETENTION"):
            Settings.model_validate(fields)
