"""Every verb changes the row and says so in the outbox, in one transaction, or changes nothing and
says why.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from streams.contracts.commands import Verb
from streams.errors import (
    CampaignError,
    ConflictError,
    IllegalTransitionError,
    NotFoundError,
    PreconditionFailedError,
)
from streams.records.expansions import Stage, decode_expansion
from streams.records.sending import (
    Cancelled,
    Limits,
    LimitsChanged,
    Paused,
    Resumed,
    decode_sending,
)
from streams.settings import Settings
from tables.campaigns.campaign import MOST_PAUSED, count_running, get_campaign, list_campaigns
from tables.commands import milestones
from tables.commands.execute import execute
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def test_a_created_campaign_is_a_draft_with_every_field_of_the_specification(
    world: World,
) -> None:
    body = world.draft(
        description="Monthly",
        type="one_time",
        excludeSegmentIds=[str(world.segment)],
        scheduledAt="2026-01-28T09:00:00Z",
        timezone="America/New_York",
        settings={
            "fromName": "Acme Corp",
            "fromEmail": "newsletter@acme.com",
            "replyTo": "support@acme.com",
            "trackOpens": True,
        },
        throttleConfig={"messagesPerHour": 10_000, "messagesPerDay": 100_000},
    )
    campaign = await world.do(Verb.CREATE, body=body)
    assert campaign | body | {"scheduledAt": "2026-01-28T09:00:00.000Z"} == campaign
    assert campaign["status"] == "draft"
    assert campaign["version"] == 1
    assert campaign["tenantId"] == "acme"
    assert campaign["createdBy"] == str(world.user)
    nulls = {
        "recurringSchedule",
        "abTestConfig",
        "startedAt",
        "completedAt",
        "deletedAt",
        "statusReason",
        "totalRecipients",
    }
    assert all(campaign[name] is None for name in nulls)
    assert not {"number", "keyEpoch", "correlationId"} & campaign.keys()
    assert campaign["createdAt"].endswith("Z")
    created = {
        "campaignId": campaign["id"],
        "campaignName": "January",
        "channel": "email",
        "type": "one_time",
    }
    assert await world.events() == [("campaign.created", created | {"createdBy": str(world.user)})]


async def test_starting_pausing_resuming_and_cancelling_tell_the_engine_in_order(
    world: World,
) -> None:
    campaign_id = await world.created()
    for verb in (Verb.START, Verb.PAUSE, Verb.RESUME):
        await world.do(verb, campaign_id)
    campaign = await world.do(Verb.CANCEL, campaign_id, {"reason": "wrong price"})
    assert (campaign["status"], campaign["statusReason"], campaign["version"]) == (
        "cancelled",
        "wrong price",
        5,
    )
    assert campaign["startedAt"] is not None
    internal = [(topic, value) for topic, kind, value in await world.outbox() if not kind]
    number = internal[0][1]["number"]
    topics, values = zip(
        *((topic, msgspec.json.encode(value)) for topic, value in internal), strict=True
    )
    same: dict[str, Any] = {"tenant_id": "acme", "campaign_id": str(campaign_id), "number": number}
    assert topics == ("campaigns.expansions.v1", *["campaigns.sending.v1"] * 3)
    assert isinstance(decode_expansion(values[0]), Stage)
    assert [decode_sending(value) for value in values[1:]] == [
        kind(**same, version=number) for number, kind in enumerate((Paused, Resumed, Cancelled), 3)
    ]
    kinds = [kind for kind, _ in await world.events()]
    assert kinds == [
        "campaign.created",
        "campaign.paused",
        "campaign.resumed",
        "campaign.cancelled",
    ]  # started: when the audience is known
    cancelled = (await world.events())[-1][1]
    assert cancelled["reason"] == "wrong price"
    assert cancelled["sentCount"] == 0
    async with world.pool.transaction() as connection:
        row = await get_campaign(connection, "acme", campaign_id)
    assert row.key_epoch == 1


async def test_the_sent_count_of_a_pause_comes_from_the_live_view(world: World) -> None:
    campaign_id = await world.started()
    async with world.pool.transaction() as connection:
        await execute(
            connection,
            world.settings,
            world.command(Verb.PAUSE, campaign_id),
            scope="rest",
            sent=lambda tenant, number: 4711,
        )
    assert (await world.events())[-1][1]["sentCount"] == 4711


async def test_a_refused_transition_names_both_states_and_changes_nothing(world: World) -> None:
    campaign_id = await world.created()
    before = await world.outbox()
    for verb in (Verb.PAUSE, Verb.RESUME, Verb.CANCEL):
        with pytest.raises(IllegalTransitionError, match="draft and cannot become"):
            await world.do(verb, campaign_id)
    assert await world.outbox() == before
    async with world.pool.transaction() as connection:
        assert (await get_campaign(connection, "acme", campaign_id)).version == 1


async def test_a_foreign_or_deleted_campaign_does_not_exist(world: World) -> None:
    other = await make_world(world.pool, world.settings, "globex")
    campaign_id = await world.created()
    for verb in (Verb.START, Verb.UPDATE, Verb.DELETE):
        with pytest.raises(NotFoundError):
            await other.do(verb, campaign_id)
    assert (await world.answer(Verb.DELETE, campaign_id)).status == 204
    for verb in (Verb.START, Verb.DELETE):
        with pytest.raises(NotFoundError):
            await world.do(verb, campaign_id)
    with pytest.raises(NotFoundError, match="no tenant"):
        await World(world.pool, world.settings, "nobody", world.segment, world.template).do(
            Verb.CREATE, body=world.draft()
        )


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"segmentIds": []}, "segmentIds", "at least 1 segment"),
        ({"segmentIds": [str(uuid4())]}, "segmentIds", "no segment"),
        ({"excludeSegmentIds": [str(uuid4())]}, "excludeSegmentIds", "no segment"),
        ({"templateId": str(uuid4())}, "templateId", "no template"),
        ({"channel": "sms"}, "templateId", "template for email"),
        ({"settings": {"fromEmail": "x"}}, "settings.fromEmail", "email address"),
        ({"settings": {"colour": "red"}}, "settings.colour", "not permitted"),
        ({"type": "recurring"}, "recurringSchedule", "needs it"),
        ({"recurringSchedule": {"cron": "0 9 * * 1"}}, "recurringSchedule", "one_time"),
    ],
)
async def test_a_body_that_breaks_a_rule_is_refused_with_field_and_rule(
    world: World, change: dict[str, Any], field: str, rule: str
) -> None:
    with pytest.raises(CampaignError) as refused:
        await world.do(Verb.CREATE, body=world.draft(**change))
    assert (refused.value.status, [wrong.field for wrong in refused.value.errors]) == (422, [field])
    assert rule in refused.value.errors[0].message
    assert await world.events() == []


async def test_segments_and_templates_of_another_tenant_are_unknown(world: World) -> None:
    other = await make_world(world.pool, world.settings, "globex")
    with pytest.raises(CampaignError) as refused:
        await world.do(Verb.CREATE, body=other.draft())
    assert [wrong.field for wrong in refused.value.errors] == ["segmentIds", "templateId"]


async def test_a_campaign_without_a_template_cannot_be_started_or_scheduled(world: World) -> None:
    campaign_id = await world.created(templateId=None)
    for verb, body in ((Verb.START, {}), (Verb.SCHEDULE, {"scheduledAt": SOON})):
        with pytest.raises(CampaignError, match="templateId: is needed"):
            await world.do(verb, campaign_id, body)


async def test_five_campaigns_of_a_tenant_may_run_even_when_twenty_start_at_once(
    world: World,
) -> None:
    campaigns = [await world.created(name=f"n{n}") for n in range(20)]
    answers = await asyncio.gather(
        *(world.answer(Verb.START, campaign_id) for campaign_id in campaigns)
    )
    assert sorted(answer.status for answer in answers) == [200] * 5 + [409] * 15
    refused = next(answer for answer in answers if answer.refusal)
    with pytest.raises(ConflictError, match="the limit is 5 running campaigns per tenant"):
        refused.result()
    running = [answer.campaign_id for answer in answers if not answer.refusal]
    assert running[0] is not None
    await world.do(Verb.PAUSE, running[0])
    waiting = next(campaign_id for campaign_id in campaigns if campaign_id not in running)
    await world.do(Verb.START, waiting)
    with pytest.raises(ConflictError):
        await world.do(Verb.RESUME, running[0])
    other = await make_world(world.pool, world.settings, "globex")
    await other.started()


async def test_scheduling_stores_the_instant_and_deleting_a_scheduled_campaign_cancels_it_first(
    world: World,
) -> None:
    campaign_id = await world.created()
    with pytest.raises(CampaignError, match="future"):
        await world.do(Verb.SCHEDULE, campaign_id, {"scheduledAt": "2020-01-01T00:00:00Z"})
    campaign = await world.do(
        Verb.SCHEDULE, campaign_id, {"scheduledAt": SOON, "timezone": "Europe/Berlin"}
    )
    assert (campaign["status"], campaign["timezone"]) == ("scheduled", "Europe/Berlin")
    with pytest.raises(CampaignError, match="scheduledAt"):
        await world.do(Verb.UPDATE, campaign_id, {"scheduledAt": None})
    await world.do(Verb.DELETE, campaign_id)
    kinds = [kind for kind, _ in await world.events()]
    assert kinds == [
        "campaign.created",
        "campaign.scheduled",
        "campaign.cancelled",
        "campaign.deleted",
    ]
    assert not [topic for topic, _, _ in await world.outbox() if topic == "campaigns.sending.v1"]


async def test_a_draft_can_be_edited_and_an_edit_that_changes_nothing_says_nothing(
    world: World,
) -> None:
    campaign_id = await world.created(settings={"fromName": "Acme"})
    change = {"name": "February", "description": "cold", "throttleConfig": {"messagesPerHour": 100}}
    campaign = await world.do(Verb.UPDATE, campaign_id, change)
    assert (campaign["name"], campaign["description"], campaign["version"]) == (
        "February",
        "cold",
        2,
    )
    assert (await world.events())[-1][1]["fields"] == ["description", "name", "throttleConfig"]
    campaign = await world.do(
        Verb.UPDATE, campaign_id, {"name": "February", "segmentIds": [str(world.segment)]}
    )
    assert campaign["version"] == 2
    campaign = await world.do(
        Verb.UPDATE, campaign_id, {"throttleConfig": None, "description": None}
    )
    assert (campaign["throttleConfig"], campaign["description"], campaign["version"]) == (
        None,
        None,
        3,
    )
    for body, field in (
        ({"name": None}, "name"),
        ({"settings": None}, "settings"),
        ({"segmentIds": []}, "segmentIds"),
    ):
        with pytest.raises(CampaignError) as refused:
            await world.do(Verb.UPDATE, campaign_id, body)
        assert [wrong.field for wrong in refused.value.errors] == [field]
    with pytest.raises(CampaignError) as refused:  # the template is for email
        await world.do(Verb.UPDATE, campaign_id, {"channel": "push"})
    assert {wrong.field for wrong in refused.value.errors} == {
        "settings.fromEmail",
        "settings.fromName",
        "templateId",
    }
    campaign = await world.do(
        Verb.UPDATE, campaign_id, {"channel": "push", "settings": {}, "templateId": None}
    )
    assert (campaign["channel"], campaign["templateId"]) == ("push", None)


async def test_a_new_limit_of_a_running_campaign_reaches_the_throttle(world: World) -> None:
    campaign_id = await world.started()
    with pytest.raises(IllegalTransitionError, match="running: segmentIds can"):
        await world.do(
            Verb.UPDATE,
            campaign_id,
            {"segmentIds": [str(world.segment), str(await _segment(world))]},
        )
    await world.do(Verb.UPDATE, campaign_id, {"throttleConfig": {"messagesPerHour": 500}})
    topic, _, value = (await world.outbox())[-1]
    changed = decode_sending(msgspec.json.encode(value))
    assert topic == "campaigns.sending.v1"
    assert isinstance(changed, LimitsChanged)
    assert changed.limits == Limits(per_hour=500)


async def _segment(world: World) -> UUID:
    return UUID(
        str(
            await sql(world.pool).fetchval(
                "INSERT INTO segments (tenant_id, name) VALUES ('acme', 'more') RETURNING id"
            )
        )
    )


async def test_if_match_refuses_a_campaign_that_has_changed(world: World) -> None:
    campaign_id = await world.created()
    await world.do(Verb.UPDATE, campaign_id, {"name": "a"}, if_match=frozenset({1}))
    with pytest.raises(PreconditionFailedError, match='ETag is "2"'):
        await world.do(Verb.UPDATE, campaign_id, {"name": "b"}, if_match=frozenset({1}))


@pytest.mark.parametrize(
    ("sent", "skipped", "share"),
    [(0, 3, "100.0"), (49, 51, "51.0"), (50, 50, ""), (0, 0, ""), (3, 0, ""), (0, 1, "100.0")],
)
async def test_a_campaign_that_skipped_more_than_half_says_so_and_alerts(
    world: World, sent: int, skipped: int, share: str
) -> None:
    campaign_id, at = await world.started(), datetime.now(UTC)
    for _ in range(2):
        async with world.pool.transaction() as session:
            done = await milestones.finished(
                session, "acme", campaign_id, sent=sent, skipped=skipped, at=at
            )
    alerts = [data for kind, data in await world.events() if kind == "campaign.alert"]
    if not share:
        assert done.campaign.warning is None and alerts == []
        return
    assert done.campaign.warning == (
        f"{skipped} of {sent + skipped} recipients were skipped ({share} %):"
        " the campaign's stats say why, `skipped` by reason."
    )
    [alert] = alerts
    assert (alert["reason"], alert["detail"]) == ("skipped-most", done.campaign.warning)


async def test_the_last_message_completes_a_campaign_once_running_or_paused(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    campaign_id = await world.started()
    at = datetime.now(UTC)
    for _ in range(2):
        async with world.pool.transaction() as session:
            sample = await milestones.sample_sent(session, "acme", campaign_id, at)
        assert (sample.campaign.sample_sent_at, sample.campaign.version) == (at, 3)
    await world.do(Verb.PAUSE, campaign_id)
    async with world.pool.transaction() as session:
        done = await milestones.finished(session, "acme", campaign_id, sent=98, skipped=2, at=at)
    done.log()
    async with world.pool.transaction() as session:
        again = await milestones.finished(session, "acme", campaign_id, sent=1, skipped=1, at=at)
    assert again.change is None
    assert (again.campaign.status, again.campaign.sent_count, again.campaign.skipped_count) == (
        "completed",
        98,
        2,
    )
    kinds = [kind for kind, _ in await world.events()]
    assert kinds.count("campaign.completed") == 1
    completed = (await world.events())[-1][1]
    assert (completed["totalRecipients"], completed["sentCount"], completed["skippedCount"]) == (
        100,
        98,
        2,
    )
    logged = [
        record
        for record in caplog.records
        if record.message == "[LIFECYCLE] campaign status changed"
    ]
    moves = [(vars(record)["fromStatus"], vars(record)["toStatus"]) for record in logged]
    assert moves == [("draft", "running"), ("running", "paused"), ("paused", "completed")]


async def test_campaigns_are_listed_newest_first_with_filters_and_search(world: World) -> None:
    names = ["Spring 100%", "spring_sale", "Summer", "Autumn"]
    for name in names:
        await world.created(name=name)
    other = await make_world(world.pool, world.settings, "globex")
    await other.created()
    async with world.pool.transaction() as connection:

        async def listed(**filters: Any) -> tuple[list[str], int]:
            campaigns, total = await list_campaigns(connection, "acme", **filters)
            return [campaign.name for campaign in campaigns], total

        assert await listed() == (names[::-1], 4)
        assert await listed(page=2, page_size=3) == (names[:1], 4)
        assert await listed(search="SPRING") == (names[1::-1], 2)
        assert await listed(search="100%") == (names[:1], 1)
        assert await listed(search="_") == (names[1:2], 1)
        assert await listed(status="running") == ([], 0)
        assert await listed(channel="email", status="draft", page_size=1) == (names[3:], 4)
        for wrong in ({"page": 0}, {"page_size": 101}, {"status": "asleep"}, {"channel": "fax"}):
            with pytest.raises(CampaignError):
                await listed(**wrong)


async def test_a_settings_file_with_another_limit_is_obeyed(world: World) -> None:
    world.settings = Settings(**(world.settings.model_dump() | {"max_running": 1}))
    await world.started()
    with pytest.raises(ConflictError, match="the limit is 1 running"):
        await world.started(name="second")


async def test_many_paused_campaigns_take_the_places_of_running_ones_and_a_pause_is_never_refused(
    world: World,
) -> None:
    """Each event of a tenant rewrites the state of all that it has paused."""
    for number in range(MOST_PAUSED + 2):
        await world.created(name=f"old {number}")
    await sql(world.pool).execute("UPDATE campaigns SET status = 'paused'")
    running = [await world.started(name=f"new {number}") for number in range(3)]
    with pytest.raises(ConflictError, match=f"Of paused ones each beyond {MOST_PAUSED} counts"):
        await world.started(name="one more")
    for campaign in running:
        await world.do(Verb.PAUSE, campaign)
    async with world.pool.transaction() as session:
        assert await count_running(session, world.tenant) == 5
    with pytest.raises(ConflictError):
        await world.started(name="one more")
    resumed = await world.do(Verb.RESUME, running[0])
    assert resumed["status"] == "running"
    other = await make_world(world.pool, world.settings, "globex")
    await other.started()
