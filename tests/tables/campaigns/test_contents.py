"""A campaign says what its templates say until it starts, and what they said then ever after."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from connectors.messages.content import Content, load
from streams.contracts.commands import Verb
from streams.errors import CampaignError
from tables.campaigns.contents import fix_contents
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
SENDER = {"fromEmail": "news@acme.example", "trackClicks": True}


async def content(world: World, campaign_id: UUID, **options: Any) -> Content:
    number = await sql(world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", campaign_id
    )
    async with world.pool.transaction() as connection:
        found = await load(connection, world.tenant, number, "https://mail.example", **options)
    assert found is not None
    return found


def said(found: Content, variant: str | None = None) -> dict[str, str]:
    return found.template(variant).render({"firstName": "Ana"}, ID)


async def write(world: World, **parts: str) -> None:
    await sql(world.pool).execute(
        "UPDATE templates SET content = content || $2 WHERE id = $1", world.template, parts
    )


async def test_a_draft_follows_its_template_and_a_started_campaign_does_not(world: World) -> None:
    campaign_id = await world.created(settings=SENDER)
    await write(world, text="Hello https://a.example/1 from {{ campaign.name }}")
    assert (await content(world, campaign_id)).links == ("https://a.example/1",)
    await world.do(Verb.START, campaign_id)
    await write(world, subject="changed", text="changed https://a.example/2")
    await world.do(Verb.UPDATE, campaign_id, {"name": "February"})
    found = await content(world, campaign_id)
    assert found.links == ("https://a.example/1",)
    assert said(found) == {
        "subject": "Hello",
        "text": f"Hello https://mail.example/t/c/{ID}/0 from January",
    }
    assert (
        said(await content(world, campaign_id, is_tracked=False))["text"]
        == "Hello https://a.example/1 from January"
    )
    async with world.pool.transaction() as connection:
        await fix_contents(connection, campaign_id)
    assert said(await content(world, campaign_id))["subject"] == "Hello"
    after = await world.created(settings=SENDER)
    assert said(await content(world, after))["subject"] == "changed"


async def test_a_start_that_is_refused_fixes_nothing(world: World) -> None:
    campaign_id = await world.created(segmentIds=[str(world.segment)], settings=SENDER)
    await sql(world.pool).execute(
        "UPDATE campaigns SET segment_ids = '{}' WHERE id = $1", campaign_id
    )
    with pytest.raises(CampaignError):
        await world.do(Verb.START, campaign_id)
    assert await sql(world.pool).fetchval("SELECT count(*) FROM campaign_contents") == 0


async def test_variants_keep_their_own_template_and_subject(world: World) -> None:
    other = await sql(world.pool).fetchval(
        "INSERT INTO templates (tenant_id, name, channel, content)"
        " VALUES ('acme', 'b', 'email', $1) RETURNING id",
        {"subject": "B", "text": "b https://b.example"},
    )
    variants = [
        {"variantId": "A", "name": "first", "subject": "Subject A", "weight": 50},
        {"variantId": "B", "name": "second", "templateId": str(other), "weight": 50},
    ]
    test = {
        "variants": variants,
        "winnerCriteria": "open_rate",
        "testDurationHours": 4,
        "testSamplePercent": 20,
    }
    campaign_id = await world.created(settings=SENDER, abTestConfig=test)
    await world.do(Verb.START, campaign_id)
    await write(world, text="changed")
    await sql(world.pool).execute(
        "UPDATE templates SET content = $2 WHERE id = $1",
        other,
        {"subject": "changed", "text": "changed"},
    )
    found = await content(world, campaign_id)
    assert said(found, "A") == {"subject": "Subject A", "text": "Hello Ana"}
    assert said(found, "B") == {"subject": "B", "text": f"b https://mail.example/t/c/{ID}/0"}
    assert said(found) == {"subject": "Hello", "text": "Hello Ana"}
    assert found.links == ("https://b.example",)


async def test_a_triggered_campaign_is_fixed_at_its_start_too(world: World) -> None:
    campaign_id = await world.started(type="triggered", segmentIds=[], settings=SENDER)
    await write(world, subject="changed")
    assert said(await content(world, campaign_id))["subject"] == "Hello"


@pytest.mark.parametrize(
    ("channel", "parts", "settings", "sender", "options", "most"),
    [
        (
            "email",
            {"subject": "s", "text": "t"},
            {"fromName": "A", "fromEmail": "a@acme.example"},
            {"name": "A", "email": "a@acme.example"},
            None,
            None,
        ),
        (
            "sms",
            {"text": "t"},
            {"senderId": "Acme", "maxSegments": 2},
            {"senderId": "Acme"},
            {"maxSegments": 2},
            2,
        ),
        (
            "whatsapp",
            {"text": "t"},
            {"templateName": "x", "language": "en"},
            None,
            {"templateName": "x", "language": "en"},
            None,
        ),
        (
            "push",
            {"title": "t", "body": "b"},
            {"badge": 0, "ttlSeconds": 60},
            None,
            {"badge": 0, "ttlSeconds": 60},
            None,
        ),
    ],
    ids=["email", "sms", "whatsapp", "push"],
)
async def test_settings_travel_with_the_message(
    world: World,
    channel: str,
    parts: dict[str, str],
    settings: dict[str, Any],
    sender: object,
    options: object,
    most: int | None,
) -> None:
    template = await sql(world.pool).fetchval(
        "INSERT INTO templates (tenant_id, name, channel, content)"
        " VALUES ('acme', $1, $2::campaign_channel, $3) RETURNING id",
        *(str(uuid4()), channel, parts),
    )
    found = await content(
        world, await world.created(channel=channel, templateId=str(template), settings=settings)
    )
    assert (found.sender, found.options, found.max_segments) == (sender, options, most)


async def test_tracked_links_lead_to_their_pages_with_the_parameters_that_were_set(
    world: World,
) -> None:
    utm = {"source": "news letter", "medium": "email"}
    campaign_id = await world.created(settings={**SENDER, "utm": utm})
    await write(
        world,
        html="<a href='https://a.example/?utm_medium=x#top'>a</a>"
        "<a data-track='false' href='https://b.example'>b</a>",
        text="https://a.example/1",
    )
    added = "utm_source=news%20letter"
    expected = (
        f"https://a.example/?utm_medium=x&{added}#top",
        f"https://a.example/1?{added}&utm_medium=email",
    )
    assert (await content(world, campaign_id)).links == expected
    await world.do(Verb.START, campaign_id)
    found = await content(world, campaign_id)
    assert found.links == expected and "https://b.example" in said(found)["html"]
    plain = said(await content(world, campaign_id, is_tracked=False))
    assert "utm_source" not in str(plain)
