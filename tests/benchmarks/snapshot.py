"""One round of P3: the audience of a campaign becomes its ledger rows, and a COPY of the same rows
into the same table.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from streams.records.expansions import Page, Stage
from streams.settings import Settings
from tables.audience import staging
from tables.database.connection import Database
from tests.agents.sending.audience import connect, contacts
from tests.postgres import Client

_COLUMNS = ("id", "tenant_id", "campaign_id", "contact_id")


async def measure(settings: Settings, recipients: int) -> dict[str, Any]:
    """Rows a second of both. Needs a migrated database of its own.

    The snapshot is what `expand` does: stage, announce, and every page in its own transaction.
    Raises AssertionError when the ledger does not hold every contact once, with dense ordinals.
    """
    connection = await connect(settings.postgres)
    try:
        wanted = await _campaign(connection, recipients)
        await connection.execute("CHECKPOINT")  # what came before is not part of either time
        started = time.perf_counter()
        async with Database(settings) as database:
            first = await _snapshot(database, settings, wanted)
        snapshot = time.perf_counter() - started
        await _check(connection, wanted.number, recipients)
        copy = await _copy(connection)
    finally:
        await connection.close()
    return {
        "recipients": recipients,
        "snapshot": round(recipients / snapshot),
        "copy": round(recipients / copy),
        "firstPageSeconds": round(first, 2),
    }


async def _campaign(connection: Client, recipients: int) -> Stage:
    """A running campaign to one segment with all contacts."""
    await contacts(connection, "bench", recipients)
    segment = await connection.fetchval(
        "INSERT INTO segments (tenant_id, name) VALUES ('bench', 'everybody') RETURNING id"
    )
    await connection.execute(
        "INSERT INTO segment_members (segment_id, contact_id, tenant_id)"
        " SELECT $1, id, tenant_id FROM contacts ORDER BY id",
        segment,
    )
    row = await connection.fetchrow(
        "INSERT INTO campaigns"
        " (tenant_id, name, channel, segment_ids, created_by, status, key_epoch, started_at)"
        " VALUES ('bench', 'Sale', 'email', ARRAY[$1::uuid],"
        " gen_random_uuid(), 'running', 0, now())"
        " RETURNING id, number",
        segment,
    )
    assert row is not None
    return Stage("bench", str(row["id"]), row["number"], str(uuid4()))


async def _snapshot(database: Database, settings: Settings, wanted: Stage) -> float:
    """Seconds until the first page is there."""
    started = time.perf_counter()
    async with database.transaction() as session:
        total = await staging.stage(session, wanted)
    assert total is not None
    async with database.transaction() as session:
        await staging.announce(session, settings, wanted, total, datetime.now(UTC))
    first = 0.0
    for start in range(0, total, settings.page_size):
        page = Page(wanted.tenant_id, wanted.campaign_id, wanted.number, total, start)
        async with database.transaction() as session:
            assert await staging.write_page(session, page, min(start + settings.page_size, total))
        first = first or time.perf_counter() - started
    return first


async def _check(connection: Client, number: int, recipients: int) -> None:
    found = await connection.fetchrow(
        "SELECT count(*), count(DISTINCT contact_id), count(*) FILTER"
        " (WHERE id BETWEEN recipient_id($1, 0) AND recipient_id($1, $2 - 1))"
        " FROM campaign_recipients",
        *(number, recipients),
    )
    assert found is not None
    assert tuple(found) == (recipients, recipients, recipients)


async def _copy(connection: Client) -> float:
    """Seconds of the denominator: binary COPY from a file, in the order of the ids, into the
    emptied table with its indexes.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        query = f"SELECT {', '.join(_COLUMNS)} FROM campaign_recipients ORDER BY id"
        with rows.open("wb") as out:
            await connection.copy_out(f"COPY ({query}) TO STDOUT (FORMAT binary)", out)
        await connection.execute("TRUNCATE campaign_recipients")
        await connection.execute("CHECKPOINT")
        with rows.open("rb") as source:
            started = time.perf_counter()
            columns = ", ".join(_COLUMNS)
            await connection.copy_in(
                f"COPY campaign_recipients ({columns}) FROM STDIN (FORMAT binary)", source
            )
            return time.perf_counter() - started
