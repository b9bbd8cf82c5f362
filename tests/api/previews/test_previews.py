"""Preview, dry run of the audience, and test messages over HTTP."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from streams.records.link_tokens import LinkTokens
from streams.records.message_id import MessageIds, is_test
from streams.records.messages import Message, decode_message
from tables.directory.suppressions import put_suppression
from tables.directory.templates import create_template
from tests.api.campaigns.test_routes import problem
from tests.api.world import JSON, Rest
from tests.postgres import sql
from tests.tables.audience.audience_world import Directory

HTML = (
    '<p>Hi {{ firstName }}</p><a href="https://a.example">x</a><a href="{{ unsubscribeUrl }}">u</a>'
)
SETTINGS = {
    "fromName": "Acme",
    "fromEmail": "news@acme.example",
    "trackOpens": True,
    "trackClicks": True,
}
VARIANTS = [
    {"variantId": "A", "name": "short", "subject": "Short", "weight": 50},
    {"variantId": "B", "name": "long", "weight": 50},
]
TEST = {
    "variants": VARIANTS,
    "winnerCriteria": "open_rate",
    "testDurationHours": 4,
    "testSamplePercent": 20,
}


async def template(rest: Rest, channel: str = "email", **content: str) -> str:
    async with rest.world.pool.transaction() as connection:
        return str(
            (
                await create_template(connection, rest.world.tenant, str(uuid4()), channel, content)
            ).id
        )


async def contact(rest: Rest, **fields: Any) -> str:
    answer = await rest.admin.post(
        "/contacts", json={"email": f"{uuid4().hex}@example.com", **fields}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


async def email(rest: Rest, **more: Any) -> str:
    made = await template(rest, subject="{{ firstName }}, hello", html=HTML)
    return str((await rest.draft(templateId=made, settings=SETTINGS, **more))["id"])


async def tests_sent(rest: Rest) -> list[Message]:
    rows = await sql(rest.world.pool).fetch(
        "SELECT key, payload FROM outbox WHERE topic = 'pipeline.messages.v1' ORDER BY seq"
    )
    made = [decode_message(row["payload"]) for row in rows]
    assert [row["key"] for row in rows] == [message.message_id for message in made]
    return made


async def test_a_preview_shows_what_the_contact_would_get(rest: Rest) -> None:
    campaign, somebody = (
        await email(rest),
        await contact(rest, firstName="<Ana>", email="Ana@Example.com"),
    )
    answer = await rest.of["viewer"].post(
        f"/campaigns/{campaign}/preview", json={"contactId": somebody}
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    assert {name: found[name] for name in ("campaignId", "contactId", "channel", "to")} == {
        "campaignId": campaign,
        "contactId": somebody,
        "channel": "email",
        "to": "ana@example.com",
    }
    [one] = found["variants"]
    unsubscribe = one["headers"]["List-Unsubscribe"].strip("<>")
    assert one["content"]["subject"] == "<Ana>, hello"
    assert (
        one["content"]["html"]
        == f'<p>Hi &lt;Ana&gt;</p><a href="https://a.example">x</a><a href="{unsubscribe}">u</a>'
    )
    assert (one["variantId"], one["from"], one["options"]) == (
        None,
        {"name": "Acme", "email": "news@acme.example"},
        None,
    )
    assert one["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert one["hints"]["bytes"] > len(
        one["content"]["html"]
    )  # the pixel and the tracked link count
    page = await rest.nobody.post("http://api/u/" + unsubscribe.rpartition("/")[2])
    assert page.status_code == 200
    assert "was a test" in page.text


async def test_a_preview_has_every_variant_of_a_test(rest: Rest) -> None:
    campaign = await email(rest, abTestConfig=TEST)
    answer = await rest.admin.post(
        f"/campaigns/{campaign}/preview", json={"contact": {"firstName": "Ana"}}
    )
    found = answer.json()["data"]
    assert [(one["variantId"], one["content"]["subject"]) for one in found["variants"]] == [
        ("A", "Short"),
        ("B", "Ana, hello"),
    ]
    assert (found["contactId"], found["to"]) == (None, None)


async def test_a_preview_that_cannot_be_rendered_names_variant_part_line_and_variable(
    rest: Rest,
) -> None:
    campaign, nobody = await email(rest, abTestConfig=TEST), await contact(rest)
    found = problem(
        await rest.admin.post(f"/campaigns/{campaign}/preview", json={"contactId": nobody}), 422
    )
    assert found["errors"] == [
        {
            "field": "variants.A.content.html",
            "message": "variant A: html, line 1: `firstName` is undefined",
        },
        {
            "field": "variants.B.content.subject",
            "message": "variant B: subject, line 1: `firstName` is undefined",
        },
    ]
    broken = await template(rest, subject="s", text="a\n{% if %}")
    campaign = (await rest.draft(templateId=broken))["id"]
    found = problem(
        await rest.admin.post(f"/campaigns/{campaign}/preview", json={"contactId": nobody}), 422
    )
    assert "text, line 2" in str(found["detail"])
    bare = (await rest.draft(templateId=None))["id"]
    found = problem(
        await rest.admin.post(f"/campaigns/{bare}/preview", json={"contactId": nobody}), 422
    )
    assert found["errors"] == [
        {"field": "templateId", "message": "is needed: there is no template"}
    ]


async def test_a_preview_is_for_contacts_of_the_tenant_only(rest: Rest) -> None:
    campaign = await email(rest)
    foreign = (await rest.stranger.post("/contacts", json={"email": "far@example.com"})).json()[
        "data"
    ]["id"]
    for unknown in (foreign, str(uuid4())):
        problem(
            await rest.admin.post(f"/campaigns/{campaign}/preview", json={"contactId": unknown}),
            404,
        )
        found = problem(
            await rest.admin.post(
                f"/campaigns/{campaign}/test-send",
                json={"addresses": ["a@b.example"], "contactId": unknown},
            ),
            422,
        )
        assert found["errors"][0]["field"] == "contactId"  # type: ignore[index]
    for path, body in (
        ("preview", {"contact": {}}),
        ("audience", None),
        ("test-send", {"addresses": ["a@b.example"]}),
    ):
        problem(await rest.stranger.post(f"/campaigns/{campaign}/{path}", json=body), 404)
        problem(await rest.nobody.post(f"/campaigns/{campaign}/{path}", json=body), 401)
    problem(
        await rest.of["editor"].post(
            f"/campaigns/{campaign}/test-send", json={"addresses": ["a@b.example"]}
        ),
        403,
    )
    wrong: list[dict[str, Any]] = [
        {},
        {"contactId": foreign, "contact": {}},
        {"contactId": "x"},
        {"contact": {"nickname": "x"}},
    ]
    for given in wrong:
        problem(await rest.admin.post(f"/campaigns/{campaign}/preview", json=given), 422)


async def test_an_sms_says_how_many_segments_it_takes_with_its_tracked_link(rest: Rest) -> None:
    text = await template(rest, "sms", text="Hi {{ firstName }}: https://a.example")
    settings = {"senderId": "Acme", "trackClicks": True, "maxSegments": 1}
    campaign = (await rest.draft(channel="sms", templateId=text, settings=settings))["id"]
    body = {"contact": {"firstName": "Zoë" * 30, "phone": "+4930123456"}}
    found = (await rest.admin.post(f"/campaigns/{campaign}/preview", json=body)).json()["data"]
    [one] = found["variants"]
    assert found["to"] == "+4930123456"
    assert one["content"]["text"].endswith("https://a.example")
    assert (
        one["hints"] | {"encoding": "UCS-2", "segments": 3, "maxSegments": 1, "isTooLong": True}
        == one["hints"]
    )
    assert (one["from"], one["options"], one["headers"]) == (
        {"senderId": "Acme"},
        {"maxSegments": 1},
        None,
    )


async def test_an_audience_is_counted_without_being_made(rest: Rest) -> None:
    world = rest.world
    await Directory(world).add(
        world.segment, "a@example.com", "a@example.com", "b@example.com", None
    )
    async with world.pool.transaction() as connection:
        await put_suppression(connection, world.tenant, "email", address="b@example.com")
    expected = {
        "total": 1,
        "inSegments": 4,
        "excluded": {
            "excluded-segment": 0,
            "suppressed": 1,
            "no-address": 1,
            "duplicate-address": 1,
        },
        "limit": 1_000_000,
        "isOverLimit": False,
        "segments": None,
    }
    campaign = (await rest.draft())["id"]
    answer = await rest.of["viewer"].post(f"/campaigns/{campaign}/audience")
    assert (answer.status_code, answer.json()["data"]) == (200, expected)
    body = {"channel": "email", "segmentIds": [str(world.segment)]}
    assert (await rest.of["viewer"].post("/audience", json=body)).json()["data"] == expected
    for wrong in (
        {**body, "segmentIds": []},
        {**body, "segmentIds": [str(uuid4())]},
        {**body, "channel": "fax"},
        {"channel": "email"},
    ):
        problem(await rest.admin.post("/audience", json=wrong), 422)
    problem(await rest.stranger.post("/audience", json=body), 422)
    assert await sql(world.pool).fetchval("SELECT count(*) FROM campaign_recipients") == 0


async def test_the_segments_of_all_sms_are_estimated_from_some(rest: Rest) -> None:
    world = rest.world
    people = await Directory(world).add(world.segment, *(f"u{n}@example.com" for n in range(6)))
    await sql(world.pool).execute(
        "UPDATE contacts SET first_name = repeat('ż', 80) WHERE id = ANY ($1)", people[:3]
    )
    await sql(world.pool).execute(
        "UPDATE contacts SET first_name = 'Ana' WHERE id = ANY ($1)", people[3:]
    )
    text = await template(rest, "sms", text="Hi {{ firstName }}")
    campaign = (await rest.draft(channel="sms", templateId=text, settings={}))["id"]
    found = (await rest.admin.post(f"/campaigns/{campaign}/audience")).json()["data"]
    assert (found["total"], found["segments"]) == (6, {"perMessage": 1.5, "total": 9, "sampled": 6})


async def test_a_test_goes_to_the_pipeline_marked_untracked_and_under_number_0(rest: Rest) -> None:
    campaign, somebody = await email(rest), await contact(rest, firstName="Ana")
    body = {
        "addresses": ["Me@Example.com", "me@example.com", "you@example.com"],
        "contactId": somebody,
    }
    answer = await rest.of["sender"].post(f"/campaigns/{campaign}/test-send", json=body)
    assert answer.status_code == 202, answer.text
    sent = await tests_sent(rest)
    assert answer.json()["data"] == {
        "campaignId": campaign,
        "contactId": somebody,
        "messages": [
            {"messageId": one.message_id, "to": one.to, "variantId": None} for one in sent
        ],
    }
    assert [one.to for one in sent] == ["me@example.com", "you@example.com"]
    ids = MessageIds.of(rest.world.settings)
    for one in sent:
        assert is_test(one.message_id)
        assert ids.verify(one.message_id, "acme") == (0, one.recipient_number)
        assert (one.is_test, one.campaign_id, one.contact_id, one.channel) == (
            True,
            campaign,
            somebody,
            "email",
        )
        assert one.content["subject"] == "[Test] Ana, hello"
        assert '<a href="https://a.example">' in one.content["html"]
        assert "/t/" not in one.content["html"]
        assert one.sender == {"name": "Acme", "email": "news@acme.example"}
        assert one.headers is not None
        token, _ = LinkTokens.of(rest.world.settings).make(one.message_id)
        assert token in one.headers["List-Unsubscribe"]
    assert len({one.message_id for one in sent}) == 2
    assert await sql(rest.world.pool).fetchval("SELECT count(*) FROM campaign_recipients") == 0
    assert (await rest.admin.get(f"/campaigns/{campaign}")).json()["data"]["status"] == "draft"


async def test_a_test_is_rendered_for_somebody_of_the_audience_or_with_sample_data(
    rest: Rest,
) -> None:
    campaign = await email(rest, abTestConfig=TEST)
    path, body = f"/campaigns/{campaign}/test-send", {"addresses": ["me@example.com"]}
    assert (await rest.admin.post(path, json=body)).json()["data"]["contactId"] is None
    [somebody] = await Directory(rest.world).add(rest.world.segment, "ben@example.com")
    await sql(rest.world.pool).execute(
        "UPDATE contacts SET first_name = 'Ben' WHERE id = $1", somebody
    )
    assert (await rest.admin.post(path, json=body)).json()["data"]["contactId"] == str(somebody)
    assert (
        await rest.admin.post(path, json={**body, "variantId": "B", "contact": {"firstName": "Cy"}})
    ).status_code == 202
    sent = await tests_sent(rest)
    assert [(one.variant_id, one.content["subject"]) for one in sent] == [
        ("A", "[Test] Short"),
        ("B", "[Test] Ana, hello"),
        ("A", "[Test] Short"),
        ("B", "[Test] Ben, hello"),
        ("B", "[Test] Cy, hello"),
    ]
    assert {one.contact_id for one in sent} == {
        str(somebody),
        "00000000-0000-0000-0000-000000000000",
    }
    problem(await rest.admin.post(path, json={**body, "variantId": "Z"}), 422)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"addresses": []}, "addresses"),
        ({"addresses": [f"u{n}@example.com" for n in range(11)]}, "addresses"),
        ({"addresses": ["me@example.com", "nobody"]}, "addresses.1"),
        ({"addresses": ["me@example.com", "Barred@example.com"]}, "addresses.1"),
        ({"addresses": ["whose@example.com"]}, "addresses.0"),
        ({"addresses": [7]}, "addresses.0"),
        ({"addresses": ["me@example.com"], "subject": "x"}, "subject"),
        ({}, "addresses"),
    ],
    ids=[
        "none",
        "eleven",
        "no-address",
        "suppressed",
        "suppressed-contact",
        "number",
        "unknown",
        "missing",
    ],
)
async def test_a_test_is_refused_whole_with_the_field_that_is_wrong(
    rest: Rest, body: dict[str, Any], field: str
) -> None:
    campaign, somebody = await email(rest), await contact(rest, email="whose@example.com")
    async with rest.world.pool.transaction() as connection:
        await put_suppression(connection, "acme", "email", address="barred@example.com")
        await put_suppression(
            connection,
            "acme",
            "email",
            contact_id=msgspec.convert(somebody, type=type(rest.world.user)),
        )
    found = problem(await rest.admin.post(f"/campaigns/{campaign}/test-send", json=body), 422)
    assert [one["field"] for one in found["errors"]] == [field]  # type: ignore[attr-defined]
    assert await tests_sent(rest) == []


async def test_a_tenant_has_100_test_messages_in_an_hour(rest: Rest) -> None:
    path, body = (
        f"/campaigns/{await email(rest)}/test-send",
        {"addresses": [f"u{n}@example.com" for n in range(10)]},
    )
    for _ in range(10):
        assert (await rest.admin.post(path, json=body)).status_code == 202
    key = {"Idempotency-Key": "again"}
    answer = await rest.admin.post(path, json={"addresses": ["one@example.com"]}, headers=key)
    assert "100" in str(problem(answer, 429)["detail"])
    assert 3590 <= int(answer.headers["retry-after"]) <= 3600
    assert len(await tests_sent(rest)) == 100
    await sql(rest.world.pool).execute(
        "UPDATE test_sends SET sent_at = sent_at - interval '1 hour'"
    )
    first = await rest.admin.post(
        path, json={"addresses": ["one@example.com"]}, headers=key
    )  # a refusal for lack of room is not kept
    assert first.status_code == 202
    again = await rest.admin.post(path, json={"addresses": ["one@example.com"]}, headers=key)
    assert again.json() == first.json()
    assert len(await tests_sent(rest)) == 101
    assert await sql(rest.world.pool).fetchval("SELECT sum(messages) FROM test_sends") == 1


async def test_a_message_that_kafka_would_not_take_is_refused(rest: Rest) -> None:
    body: dict[str, Any] = {"addresses": ["me@example.com"]}
    odd = await template(rest, subject="s", text="{{ contact.attributes.odd }}")
    campaign = (await rest.draft(templateId=odd, settings=SETTINGS))["id"]
    for value, words in (
        ("\x01" * 140_000, "the limit is 800,000"),
        ("a\0b", "NUL"),
        ([[1] * 600] * 2, "1,000"),
    ):
        body["contact"] = {"attributes": {"odd": value}}
        content = json.dumps(body).encode()
        answer = await rest.admin.post(
            f"/campaigns/{campaign}/test-send", content=content, headers=JSON
        )
        assert answer.status_code == 422, answer.text
        assert words in answer.text
    assert await tests_sent(rest) == []


async def test_the_links_of_a_started_campaign_stay_when_its_template_changes(rest: Rest) -> None:
    made = await template(rest, subject="s", text="https://a.example")
    campaign = await rest.running(templateId=made, settings=SETTINGS)
    changed = await rest.admin.patch(
        f"/templates/{made}",
        json={"content": {"subject": "s", "text": "https://b.example https://c.example"}},
    )
    assert changed.status_code == 200, changed.text
    settings = rest.world.settings
    number = await sql(rest.world.pool).fetchval("SELECT number FROM campaigns")
    message_id = MessageIds.of(settings).make(number, 0, "acme", settings.key_epoch)
    _, token = LinkTokens.of(settings).make(message_id)
    assert (await rest.nobody.get(f"http://api/t/c/{token}/0")).headers[
        "location"
    ] == "https://a.example"
    assert (await rest.nobody.get(f"http://api/t/c/{token}/1")).status_code == 404
    shown = (
        await rest.admin.post(f"/campaigns/{campaign['id']}/preview", json={"contact": {}})
    ).json()["data"]["variants"]
    assert shown[0]["content"]["text"] == "https://a.example"
