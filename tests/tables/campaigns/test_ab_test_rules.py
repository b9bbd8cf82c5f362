"""What A/B tests may be stored and started: by every way in, with templates and subjects that fit,
until the campaign starts.
"""

from __future__ import annotations

from uuid import UUID

import pytest

from streams.contracts.commands import Verb
from streams.errors import CampaignError, IllegalTransitionError
from tables.campaigns import ab_tests
from tables.campaigns.ab_test_rules import without_template
from tables.directory.templates import create_template
from tables.models import Campaign
from tables.tenants.tenants import create_tenant
from tests.postgres import sql
from tests.streams.contracts.test_ab_tests import ab_test, body
from tests.tables.campaigns.ab_test_world import one, variants
from tests.tables.campaigns.campaign_world import CONTENT, World


async def another_template(world: World, channel: str = "email", tenant: str = "") -> UUID:
    async with world.pool.transaction() as connection:
        content = CONTENT if channel == "email" else {"text": "Hello"}
        return (
            await create_template(connection, tenant or world.tenant, "another", channel, content)
        ).id


async def test_a_test_is_stored_as_config_and_as_variants_by_create_update_and_its_own_verb(
    world: World,
) -> None:
    config = body(60, 40)
    config["variants"][1] |= {
        "subject": "Exclusive!",
        "templateId": str(await another_template(world)),
    }
    created = await world.created(abTestConfig=config)
    updated = await world.created()
    await world.do(Verb.UPDATE, updated, {"abTestConfig": config})
    own = await world.created()
    answer = await world.answer(Verb.AB_TEST, own, config)
    assert answer.status == 201
    assert answer.campaign is not None
    for campaign_id in (created, updated, own):
        stored = (await one(world, campaign_id)).ab_test_config
        assert stored == ab_test(60, 40).stored() | {"variants": config["variants"]}
        a, b = await variants(world, campaign_id)
        assert (a["template_id"], a["subject"], a["weight"], a["is_winner"]) == (
            world.template,
            None,
            60,
            False,
        )
        assert (str(b["template_id"]), b["subject"], b["weight"]) == (
            config["variants"][1]["templateId"],
            "Exclusive!",
            40,
        )
    kind, event = (await world.events())[-1]
    assert (kind, event["fields"]) == ("campaign.updated", ["abTestConfig"])


async def test_a_test_can_be_replaced_and_taken_away_until_the_campaign_starts(
    world: World,
) -> None:
    campaign_id = await world.created(abTestConfig=body(50, 50))
    await world.do(Verb.AB_TEST, campaign_id, body(20, 30, 50))
    assert [row["weight"] for row in await variants(world, campaign_id)] == [20, 30, 50]
    other = await another_template(world)
    await world.do(Verb.UPDATE, campaign_id, {"templateId": str(other)})
    assert {row["template_id"] for row in await variants(world, campaign_id)} == {other}
    await world.do(Verb.UPDATE, campaign_id, {"abTestConfig": None})
    assert await variants(world, campaign_id) == []
    assert (await one(world, campaign_id)).ab_test_config is None

    await world.do(Verb.START, campaign_id)
    with pytest.raises(
        IllegalTransitionError,
        match=r"running, which does not allow ab-test\.create\. It must be draft or scheduled",
    ):
        await world.do(Verb.AB_TEST, campaign_id, body(50, 50))
    with pytest.raises(IllegalTransitionError, match="abTestConfig can no longer"):
        await world.do(Verb.UPDATE, campaign_id, {"abTestConfig": body(50, 50)})


async def test_templates_and_subjects_must_fit_the_channel_and_the_tenant(world: World) -> None:
    async with world.pool.transaction() as connection:
        await create_tenant(connection, "globex")
    foreign, sms = (
        await another_template(world, tenant="globex"),
        await another_template(world, "sms"),
    )
    config = body(50, 50)
    config["variants"][0]["templateId"], config["variants"][1]["templateId"] = (
        str(foreign),
        str(sms),
    )
    campaign_id = await world.created()
    with pytest.raises(CampaignError) as refused:
        await world.do(Verb.AB_TEST, campaign_id, config)
    assert [error.field for error in refused.value.errors] == [
        "variants.0.templateId",
        "variants.1.templateId",
    ]
    with pytest.raises(
        CampaignError, match=r"abTestConfig\.variants\.0\.templateId: there is no template"
    ):
        await world.do(Verb.CREATE, body=world.draft(abTestConfig=config))

    with_subject = body(50, 50)
    with_subject["variants"][1]["subject"] = "Hello"
    with pytest.raises(CampaignError, match=r"variants\.1\.subject: only an email"):
        await world.do(
            Verb.CREATE,
            body=world.draft(channel="sms", templateId=str(sms), abTestConfig=with_subject),
        )
    await world.do(Verb.AB_TEST, campaign_id, with_subject)
    with pytest.raises(
        CampaignError, match=r"variants\.1\.subject: only an email"
    ):  # the channel changes under the test
        await world.do(Verb.UPDATE, campaign_id, {"channel": "sms", "templateId": str(sms)})


async def test_every_variant_needs_a_template_before_the_start_its_own_or_the_campaigns(
    world: World,
) -> None:
    config = body(50, 50)
    config["variants"][0]["templateId"] = str(world.template)
    campaign_id = await world.created(templateId=None, abTestConfig=config)
    assert [row["variant_id"] for row in await variants(world, campaign_id)] == ["A"]
    with pytest.raises(CampaignError, match=r"abTestConfig\.variants\.1\.templateId: is needed"):
        await world.do(Verb.START, campaign_id)
    config["variants"][1]["templateId"] = str(world.template)
    await world.do(Verb.AB_TEST, campaign_id, config)
    assert (await world.do(Verb.START, campaign_id))["status"] == "running"
    assert len(await variants(world, campaign_id)) == 2


def test_without_a_template_of_the_campaign_each_variant_without_its_own_is_named() -> None:
    config = body(40, 30, 30)
    config["variants"][1]["templateId"] = str(UUID(int=1))
    campaign = Campaign(template_id=None, ab_test_config=config)
    missing = without_template(campaign)
    assert [error.field for error in missing] == [
        "abTestConfig.variants.0.templateId",
        "abTestConfig.variants.2.templateId",
    ]
    assert {error.message for error in missing} == {
        "is needed before the campaign can be scheduled or started, "
        "because the campaign has no template either"
    }


def test_a_template_of_the_campaign_is_enough_and_without_a_test_no_variant_needs_one() -> None:
    with_template = Campaign(template_id=UUID(int=2), ab_test_config=body(50, 50))
    assert without_template(with_template) == []
    assert without_template(Campaign(template_id=None, ab_test_config=None)) == []


async def test_a_deleted_template_of_a_variant_refuses_the_start(world: World) -> None:
    config, other = body(50, 50), await another_template(world)
    config["variants"][1]["templateId"] = str(other)
    campaign_id = await world.created(abTestConfig=config)
    await sql(world.pool).execute("UPDATE templates SET deleted_at = now() WHERE id = $1", other)
    with pytest.raises(CampaignError, match="there is no template"):
        await world.do(Verb.START, campaign_id)


async def test_a_triggered_campaign_has_no_test(world: World) -> None:
    with pytest.raises(CampaignError, match="abTestConfig: a triggered campaign has none"):
        await world.do(Verb.CREATE, body=world.draft(type="triggered", abTestConfig=body(50, 50)))
    campaign_id = await world.created(type="triggered", segmentIds=[])
    with pytest.raises(CampaignError, match="a triggered campaign has none"):
        await world.do(Verb.AB_TEST, campaign_id, body(50, 50))


async def test_a_copy_has_the_variants_and_no_winner(world: World) -> None:
    source = await world.started(abTestConfig=body(50, 50))
    await world.do(Verb.WINNER, source, {"variantId": "A"})
    target = await world.created()
    async with world.pool.transaction() as connection:
        await ab_tests.copy_variants(connection, source, target)
    expected = [row | {"is_winner": False} for row in await variants(world, source)]
    assert await variants(world, target) == expected
