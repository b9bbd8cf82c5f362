"""A database of the version before is upgraded in place, with what is in it."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from streams.contracts.bodies import validated
from streams.contracts.commands import Trigger
from streams.contracts.fields import Status
from streams.contracts.triggers import CampaignTrigger
from streams.errors import ConflictError, IllegalTransitionError
from streams.settings import Settings
from tables.commands.answers import Answer
from tables.commands.execute import execute
from tables.database.connection import Database, Session
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
    "INSERT INTO suppressions (tenant_id, channel, address, reason)"
    " VALUES ('acme', 'sms', '+5215512345678', 'old'), ('acme', 'sms', '+525512345678', 'new'),"
    " ('acme', 'whatsapp', '+551187654321', 'kept'), ('acme', 'sms', '+5491123456789', 'kept'),"
    " ('acme', 'email', '+549@example.com', 'kept')",
    "CREATE TABLE stage_1 AS SELECT uuidv7() AS contact_id, 0 AS ordinal",
    "INSERT INTO outbox (topic, key, payload) VALUES ('campaigns.events.v1', 'k', 'p')",
    "INSERT INTO campaign_triggers"
    " SELECT id, 'order-1', sha256(uuid_send(created_by)),"
    """        '{"accepted": 1, "refused": {"unknown": 2}}', now() - interval '6 days'"""
    "   FROM campaigns",
    "INSERT INTO campaign_triggers"
    " SELECT id, 'order-0', sha256(uuid_send(created_by)), '{}', now() - interval '8 days'"
    "   FROM campaigns",
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
            await _triggers_are_remembered(session, campaign, dsn)
        assert (campaign.name, campaign.channel, campaign.status) == ("Sale", "sms", Status.DRAFT)
        assert (len(campaign.segment_ids), campaign.settings) == (1, {"senderId": "Acme"})
        client = await connect_client(dsn)
        after = [tuple(row) for row in await client.fetch("SELECT * FROM campaign_recipients")]
        suppressed = await client.fetch("SELECT address, reason FROM suppressions ORDER BY seq")
        assert [tuple(row) for row in suppressed] == [
            ("+525512345678", "new"),  # the old spelling of it is gone
            ("+5511987654321", "kept"),
            ("+541123456789", "kept"),
            ("+549@example.com", "kept"),
        ]
        # an audience that is being written is written on by this version
        assert await client.fetchval("SELECT address_version FROM stage_1") is None
        assert not await client.fetchval("SELECT has_link_tokens FROM campaigns")
        await client.close()
        # nobody's address has changed, and of no message it is known that a provider took it
        assert after == [(*row, None, None) for row in before]
    finally:
        await admin.execute("DROP DATABASE upgraded WITH (FORCE)")
        await admin.close()


async def _triggers_are_remembered(session: Session, campaign: Campaign, dsn: str) -> None:
    """A trigger of the version before gets its first answer, if it is not older than 7 days."""
    nowhere, keys = "127.0.0.1:1", (SecretStr("00" * 32),)
    settings = Settings(kafka=nowhere, nats=f"nats://{nowhere}", postgres=dsn, message_keys=keys)

    async def again(correlation_id: str, contact: UUID) -> Answer:
        body = validated(CampaignTrigger, {"contactIds": [str(contact)]}, "forbid")
        command = Trigger(
            tenant_id="acme", correlation_id=correlation_id, campaign_id=campaign.id, body=body
        )
        return await execute(session, settings, command, scope="rest")

    repeat = await again("order-1", campaign.created_by)
    assert (repeat.status, repeat.campaign_id, repeat.number, repeat.outcome) == (
        202,
        campaign.id,
        campaign.number,
        {"accepted": 1, "refused": {"unknown": 2}},
    )
    with pytest.raises(ConflictError, match="other contacts"):
        (await again("order-1", uuid4())).result()
    with pytest.raises(IllegalTransitionError):  # forgotten: the campaign is judged as it is
        (await again("order-0", campaign.created_by)).result()
