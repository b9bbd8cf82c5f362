"""Names that were stored before names were composed are composed by the upgrade."""

from __future__ import annotations

import asyncio
import unicodedata

from tables.database.migrate import upgrade
from tests.postgres import connect

_DECOMPOSED = "Jose\u0301"
_COMPOSED = "Jos\u00e9"


async def test_the_upgrade_composes_names_and_leaves_unique_ones_that_would_clash(
    postgres: str,
) -> None:
    admin = await connect(postgres)
    await admin.execute("CREATE DATABASE composed")
    dsn = postgres.rpartition("/")[0] + "/composed"
    try:
        await asyncio.to_thread(upgrade, dsn, "0012")
        client = await connect(dsn)
        await client.execute("INSERT INTO tenants (id) VALUES ('acme')")
        for first, last in ((_DECOMPOSED, None), (None, _DECOMPOSED), ("Ana", "\u0958" * 200)):
            await client.execute(
                "INSERT INTO contacts (id, tenant_id, first_name, last_name)"
                " VALUES (uuidv7(), 'acme', $1, $2)",
                first,
                last,
            )
        names = (_DECOMPOSED, _COMPOSED, "o\u0302\u0323", "o\u0323\u0302", "plain")
        for name in names:
            await client.execute("INSERT INTO segments (tenant_id, name) VALUES ('acme', $1)", name)
        await asyncio.to_thread(upgrade, dsn)
        people = await client.fetch("SELECT first_name, last_name FROM contacts ORDER BY id")
        found = [(row["first_name"], row["last_name"]) for row in people]
        long = unicodedata.normalize("NFC", "\u0958" * 200)[:255]
        assert found == [(_COMPOSED, None), (None, _COMPOSED), ("Ana", long)]
        segments = await client.fetch("SELECT name FROM segments ORDER BY id")
        # \u1ed9 in its two decomposed spellings: the first becomes composed, the other cannot
        assert [row["name"] for row in segments] == [
            *(_DECOMPOSED, _COMPOSED, "\u1ed9", "o\u0323\u0302", "plain"),
        ]
        await client.close()
    finally:
        await admin.execute("DROP DATABASE composed WITH (FORCE)")
        await admin.close()
