"""Section 4 of the specification, endpoint by endpoint: its bodies and answers to the letter."""

from __future__ import annotations

from uuid import UUID

import pytest

from streams.records.stats import Counts
from tests.api.campaigns.feeds import feed_stats
from tests.api.campaigns.test_routes import problem
from tests.api.specified import (
    AB_TEST,
    COLUMNS,
    CREATE,
    PREVIEW,
    RECIPIENT_COLUMNS,
    SCHEDULE,
    STATS,
    WINNER,
    create,
    furnish,
)
from tests.api.world import Rest
from tests.eventually import eventually
from tests.postgres import sql


@pytest.fixture
async def acme(rest: Rest) -> Rest:
    """With what the specification's bodies name."""
    return await furnish(rest)


async def test_create_campaign_with_the_specifications_body(acme: Rest) -> None:
    campaign = await create(acme)
    assert campaign.keys() >= COLUMNS
    assert {name: campaign[name] for name in CREATE} == {
        **CREATE,
        "scheduledAt": "2026-01-28T09:00:00.000Z",
    }
    assert (campaign["status"], campaign["tenantId"]) == ("draft", "acme")
    minimal = await acme.admin.post(
        "/campaigns", json={name: CREATE[name] for name in ("name", "channel", "segmentIds")}
    )
    assert {
        name: minimal.json()["data"][name]
        for name in ("type", "timezone", "settings", "excludeSegmentIds")
    } == {
        "type": "one_time",
        "timezone": "UTC",
        "settings": {},
        "excludeSegmentIds": [],
    }


async def test_list_campaigns_with_its_parameters_and_their_defaults(acme: Rest) -> None:
    for n in range(22):
        await create(acme, name=f"Newsletter {n}")
    answer = (await acme.of["viewer"].get("/campaigns")).json()
    assert (answer["success"], answer["meta"]) == (
        True,
        {"page": 1, "pageSize": 20, "total": 22, "totalPages": 2},
    )
    assert [campaign["name"] for campaign in answer["data"]] == [
        f"Newsletter {n}" for n in range(21, 1, -1)
    ]
    assert all(campaign.keys() >= COLUMNS for campaign in answer["data"])
    second = (await acme.admin.get("/campaigns", params={"page": 2, "pageSize": 20})).json()
    assert [campaign["name"] for campaign in second["data"]] == ["Newsletter 1", "Newsletter 0"]
    everything: dict[str, str | int] = {
        "page": 1,
        "pageSize": 100,
        "status": "draft",
        "channel": "email",
        "search": "NEWSLETTER 2",
    }
    assert [
        c["name"] for c in (await acme.admin.get("/campaigns", params=everything)).json()["data"]
    ] == [
        "Newsletter 21",
        "Newsletter 20",
        "Newsletter 2",
    ]
    for wrong in ("pageSize=101", "pageSize=0", "page=0", "status=lost", "channel=fax"):
        problem(await acme.admin.get(f"/campaigns?{wrong}"), 422)


async def test_get_update_and_delete_campaign(acme: Rest) -> None:
    campaign = await create(acme)
    path = f"/campaigns/{campaign['id']}"
    shown = (await acme.of["viewer"].get(path)).json()["data"]
    assert campaign.items() <= shown.items()
    changed = (await acme.admin.patch(path, json={"name": "February Newsletter"})).json()["data"]
    same = COLUMNS - {"name", "updatedAt"}
    assert {name: changed[name] for name in same} == {name: campaign[name] for name in same}
    assert changed["name"] == "February Newsletter" and changed["updatedAt"] > campaign["updatedAt"]

    gone = await acme.admin.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for method, route in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/start"),
        ("GET", "/stats"),
        ("GET", "/recipients"),
    ):
        problem(
            await acme.admin.request(
                method, path + route, json={"name": "x"} if method == "PATCH" else None
            ),
            404,
        )
    assert (await acme.admin.get("/campaigns")).json()["meta"]["total"] == 0
    assert await sql(acme.world.pool).fetchval(
        "SELECT deleted_at IS NOT NULL FROM campaigns WHERE id = $1", UUID(campaign["id"])
    )


async def test_schedule_start_pause_resume_and_cancel_campaign(acme: Rest) -> None:
    campaign = await create(acme)
    path = f"/campaigns/{campaign['id']}"
    past = problem(
        await acme.admin.post(f"{path}/schedule", json=SCHEDULE), 422
    )  # what was the future when the example was written
    assert "scheduledAt: must be in the future" in str(past["detail"])
    scheduled = (
        await acme.of["sender"].post(
            f"{path}/schedule", json={**SCHEDULE, "scheduledAt": "2031-01-28T09:00:00Z"}
        )
    ).json()["data"]
    expected = {
        "status": "scheduled",
        "scheduledAt": "2031-01-28T09:00:00.000Z",
        "timezone": "America/New_York",
    }
    assert expected.items() <= scheduled.items()
    for verb, status in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ):
        answer = await acme.of["sender"].post(f"{path}/{verb}")
        assert (answer.status_code, answer.json()["data"]["status"]) == (200, status)
        assert answer.json()["data"]["startedAt"]


async def test_campaign_stats_are_the_specifications_json(live: Rest) -> None:
    await furnish(live)
    campaign = await create(live, abTestConfig=AB_TEST)
    path = f"/campaigns/{campaign['id']}"
    await live.admin.post(f"{path}/start")
    await sql(live.world.pool).execute(
        "UPDATE campaigns SET total_recipients = 10000 WHERE id = $1", UUID(campaign["id"])
    )
    assert (await live.admin.post(f"{path}/ab-test/winner", json=WINNER)).status_code == 200
    number = await sql(live.world.pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", UUID(campaign["id"])
    )
    total = Counts(
        sent=9800,
        delivered=9500,
        opened=3200,
        clicked=850,
        bounced=200,
        unsubscribed=15,
        complained=2,
    )
    tried = {
        "A": Counts(sent=1000, delivered=1000, opened=325, clicked=82),
        "B": Counts(sent=1000, delivered=1000, opened=351, clicked=98),
    }
    await feed_stats(live.world.settings, number, total, variants=tried)

    async def shown() -> bool:
        stats = (await live.of["viewer"].get(f"{path}/stats")).json()["data"]
        found = {name: stats[name] for name in STATS}
        found["variants"] = [
            {
                name: variant[name]
                for name in ("variantId", "openRate", "clickRate", "isWinner")
                if name in variant
            }
            for variant in stats["variants"]
        ]
        assert (stats["campaignId"], found) == (campaign["id"], STATS)
        return True

    await eventually(shown, 300)


async def test_campaign_recipients_have_every_column(acme: Rest) -> None:
    campaign = await create(acme, type="triggered", segmentIds=[])
    path = f"/campaigns/{campaign['id']}"
    await acme.admin.post(f"{path}/start")
    await acme.admin.post(f"{path}/trigger", json={"contactIds": [PREVIEW["contactId"]]})
    answer = (await acme.of["viewer"].get(f"{path}/recipients")).json()
    assert (
        answer["meta"] | {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1} == answer["meta"]
    )
    [row] = answer["data"]
    assert row.keys() >= RECIPIENT_COLUMNS | {"acceptedAt"}
    assert (row["contactId"], row["status"], row["sentAt"]) == (
        PREVIEW["contactId"],
        "pending",
        None,
    )
    assert (await acme.admin.get(f"{path}/recipients?status=sent")).json()["data"] == []
    problem(await acme.admin.get(f"{path}/recipients?status=lost"), 422)


async def test_preview_campaign_for_the_specifications_contact(acme: Rest) -> None:
    campaign = await create(acme)
    answer = await acme.of["viewer"].post(f"/campaigns/{campaign['id']}/preview", json=PREVIEW)
    assert answer.status_code == 200, answer.text
    assert "Ana" in answer.text and "ana@example.com" in answer.text
    unknown = {"contactId": "550e8400-e29b-41d4-a716-446655440011"}
    problem(await acme.admin.post(f"/campaigns/{campaign['id']}/preview", json=unknown), 404)


async def test_create_ab_test_and_declare_its_winner(acme: Rest) -> None:
    campaign = await create(acme)
    path = f"/campaigns/{campaign['id']}"
    made = await acme.admin.post(f"{path}/ab-test", json=AB_TEST)
    assert made.status_code == 201
    config = made.json()["data"]["abTestConfig"]
    assert {name: config[name] for name in AB_TEST if name != "variants"} == {
        n: v for n, v in AB_TEST.items() if n != "variants"
    }
    assert all(
        given.items() <= kept.items()
        for given, kept in zip(AB_TEST["variants"], config["variants"], strict=True)
    )
    await acme.admin.post(f"{path}/start")
    answer = await acme.admin.post(f"{path}/ab-test/winner", json=WINNER)
    assert (answer.status_code, answer.json()["data"]["winnerVariantId"]) == (200, "B")
    rows = await sql(acme.world.pool).fetch(
        "SELECT variant_id, is_winner, weight FROM campaign_variants ORDER BY variant_id"
    )
    assert [tuple(row) for row in rows] == [("A", False, 50), ("B", True, 50)]
