"""The one way of an event into the outbox, and the log of a status that changed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from streams.contracts.commands import Verb
from streams.contracts.events import Cause, Deleted, Paused, event_id
from streams.contracts.fields import Status
from streams.records.sending import Closed
from tables.campaigns.campaign import lock_campaign
from tables.campaigns.changes import Change, publish
from tables.database.outbox import to_throttle
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World

_CAUSE = Cause("order-7", datetime(2026, 1, 28, 9, 0, 0, 5000, tzinfo=UTC))


async def test_an_event_is_published_before_the_internal_records_of_its_change(
    world: World,
) -> None:
    campaign_id = await world.created()
    async with world.pool.transaction() as session:
        campaign = await lock_campaign(session, world.tenant, campaign_id)
        event = Paused(*campaign.head, "2026-01-28T09:00:00.000Z", 3)
        closed = Closed(tenant_id=world.tenant, number=campaign.number)
        internal = to_throttle(closed, campaign.id, campaign.version)
        await publish(session, campaign, event, _CAUSE, internal)
    created, public, private = await sql(world.pool).fetch("SELECT * FROM outbox ORDER BY seq")
    assert created["type"] == "campaign.created"
    assert (public["topic"], public["key"], public["type"]) == (
        "campaigns.events.v1",
        str(campaign_id),
        "campaign.paused",
    )
    assert public["event_id"] == event_id(campaign_id, 1, "campaign.paused")
    assert (
        public["payload"]
        == (
            b'{"tenantId":"acme","correlationId":"order-7","timestamp":"2026-01-28T09:00:00.005Z",'
            b'"data":{"campaignId":"%s","campaignName":"January","channel":"email",'
            b'"at":"2026-01-28T09:00:00.000Z","sentCount":3},'
            b'"version":"1.0","source":"campaigns","type":"campaign.paused"}'
        )
        % str(campaign_id).encode()
    )
    assert (private["topic"], private["key"]) == ("campaigns.sending.v1", world.tenant)


async def test_an_event_has_another_id_in_another_version_and_the_same_in_a_repeat(
    world: World,
) -> None:
    campaign_id = await world.created()
    for name in (None, "renamed"):
        if name:
            await world.do(Verb.UPDATE, campaign_id, {"name": name})
        for _ in range(2):
            async with world.pool.transaction() as session:
                campaign = await lock_campaign(session, world.tenant, campaign_id)
                gone = Deleted(*campaign.head, "2026-01-28T09:00:00.000Z")
                await publish(session, campaign, gone, _CAUSE)
    rows = await sql(world.pool).fetch(
        "SELECT event_id, payload FROM outbox WHERE type = 'campaign.deleted' ORDER BY seq"
    )
    first, again, renamed, renamed_again = rows
    assert (first["event_id"], first["payload"]) == (again["event_id"], again["payload"])
    assert renamed["event_id"] == renamed_again["event_id"] != first["event_id"]


async def test_the_engine_speaks_with_the_correlation_of_the_start(world: World) -> None:
    campaign_id = await world.created()
    async with world.pool.transaction() as session:
        draft = await lock_campaign(session, world.tenant, campaign_id)
    await world.do(Verb.START, campaign_id, correlation_id="order-8")
    async with world.pool.transaction() as session:
        started = await lock_campaign(session, world.tenant, campaign_id)
    assert (draft.origin, started.origin) == (str(campaign_id), "order-8")


async def test_a_change_of_status_is_logged_from_what_it_was_to_what_it_is(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    campaign_id = await world.created()
    async with world.pool.transaction() as session:
        campaign = await lock_campaign(session, world.tenant, campaign_id)
    change = Change.of(campaign, Status.SCHEDULED, _CAUSE)
    assert change == Change(world.tenant, "order-7", campaign_id, "scheduled", "draft")
    assert change != Change.of(campaign, Status.SCHEDULED, Cause(str(uuid4()), _CAUSE.at))
    with caplog.at_level(logging.INFO, "tables.campaigns.changes"):
        change.log()
    (line,) = caplog.records
    shown = {name: getattr(line, name) for name in ("fromStatus", "toStatus", "correlationId")}
    assert shown == {"fromStatus": "scheduled", "toStatus": "draft", "correlationId": "order-7"}
