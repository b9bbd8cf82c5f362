"""A database of the version before is upgraded in place, with what is in it."""

from __future__ import annotations

import asyncio

from sqlalchemy import select

from streams.contracts.fields import Status
from tables.database.connection import Database
from tables.database.migrate import upgrade
from tables.models import Campaign
from tests.postgres import connect as connect_client
from tests.tables.models.test_schema import differences

_BEFORE = "0009"  # the newest revision of 0.1.0
_ROWS = (
    "INSERT INTO tenants (id) VALUES ('acme')",
    "INSERT INTO templates (tenant_id, name, channel, content)"
    """ VALUES ('acme', 't', 'email', '{"subject": "s", "text": "t"}')""",
    "INSERT INTO campaigns (tenant_id, name, channel, created_by, segment_ids, settings)"
    """ VALUES ('acme', 'Sale', 'sms', uuidv7(), ARRAY[uuidv7()], '{"senderId": "Acme"}')""",
    "INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id, status)"
    " SELECT recipient_id(number, 0), 'acme', id, uuidv7(), 'clicked' FROM campaigns",
    "INSERT INTO outbox (topic, key, payload) VALUES ('campaigns.events.v1', 'k', 'p')",
)


async def test_rows_of_the_version_before_are_what_the_models_read(postgres: str) -> None:
    admin = await connect_client(postgres)
    await admin.execute("CREATE DATABASE upgraded")
    dsn = postgres.rpartition("/")[0] + "/upgraded"
    try:
        await asyncio.to_thread(upgrade, dsn, _BEFORE)
        client = await connect_client(dsn)
        for row in _ROWS:
            await client.execute(row)
        before = [tuple(row) for row in await client.fetch("SELECT * FROM campaign_recipients")]
        await client.close()
        await asyncio.to_thread(upgrade, dsn)
        async with Database(dsn) as database, database.transaction() as session:
            assert await session.run_sync(lambda it: differences(it.connection())) == []
            [campaign] = await session.every(select(Campaign))
        assert (campaign.name, campaign.channel, campaign.status) == ("Sale", "sms", Status.DRAFT)
        assert (len(campaign.segment_ids), campaign.settings) == (1, {"senderId": "Acme"})
        client = await connect_client(dsn)
        after = [tuple(row) for row in await client.fetch("SELECT * FROM campaign_recipients")]
        await client.close()
        assert after == before
    finally:
        await admin.execute("DROP DATABASE upgraded WITH (FORCE)")
        await admin.close()
