"""A/B tests over HTTP: the specification's bodies and answers, the roles, and what a test shows of
itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from agents.jobs.ab_test_evaluator import EVALUATOR
from agents.jobs.job import JobContext
from api.campaigns import ab_test_schemas
from api.campaigns.figure_schemas import VARIANTS
from api.http.envelope import shown_by
from streams.records.sending import Limits, Span
from streams.records.stats import Counts
from tables.commands import milestones
from tables.database.connection import Database
from tables.throttle.state import CampaignSending, Waiting
from tests.api.campaigns.feeds import feed_sending, feed_stats
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.eventually import eventually
from tests.postgres import sql

TEST = dict(ab_test_schemas.TEST)  # the specification's body
A, B = (
    Counts(sent=100, delivered=100, opened=20, clicked=5),
    Counts(sent=100, delivered=99, opened=40, clicked=9),
)
TOTAL = Counts(sent=200, delivered=199, opened=60, clicked=14)


async def with_test(rest: Rest, **more: Any) -> str:
    campaign = await rest.draft(**more)
    answer = await rest.of["editor"].post(f"/campaigns/{campaign['id']}/ab-test", json=TEST)
    assert answer.status_code == 201, answer.text
    assert answer.headers["etag"] == '"2"'
    assert answer.json()["data"]["abTestConfig"] == ab_test_schemas.STORED
    return str(campaign["id"])


async def test_the_specifications_test_is_made_shown_and_decided_by_a_person(rest: Rest) -> None:
    path = f"/campaigns/{await with_test(rest)}"
    shown = (await rest.of["viewer"].get(f"{path}/ab-test")).json()["data"]
    assert {name: shown[name] for name in ab_test_schemas.STORED} == ab_test_schemas.STORED
    assert (shown["state"], shown["sampleSize"], shown["evaluation"], shown["decisions"]) == (
        "planned",
        None,
        None,
        [],
    )
    assert set(shown) == set(shown_by(ab_test_schemas.AbTestShown))
    early = problem(
        await rest.of["sender"].post(f"{path}/ab-test/winner", json={"variantId": "B"}), 409
    )
    assert "draft" in str(early["detail"]) and "running or paused or completed" in str(
        early["detail"]
    )

    await rest.admin.post(f"{path}/start")
    late = problem(await rest.of["editor"].post(f"{path}/ab-test", json=TEST), 409)
    assert "running" in str(late["detail"]) and "draft or scheduled" in str(late["detail"])
    unknown = problem(
        await rest.of["sender"].post(f"{path}/ab-test/winner", json={"variantId": "C"}), 422
    )
    assert unknown["errors"] == [{"field": "variantId", "message": "one of A, B"}]
    won = await rest.of["sender"].post(f"{path}/ab-test/winner", json={"variantId": "B"})
    assert (won.status_code, won.json()["data"]["winnerVariantId"]) == (200, "B")
    assert (
        await rest.of["sender"].post(f"{path}/ab-test/winner", json={"variantId": "B"})
    ).status_code == 200
    second = problem(
        await rest.of["sender"].post(f"{path}/ab-test/winner", json={"variantId": "A"}), 409
    )
    assert "B is the winner" in str(second["detail"])
    shown = (await rest.of["viewer"].get(f"{path}/ab-test")).json()["data"]
    assert (shown["state"], [variant.get("isWinner") for variant in shown["variants"]]) == (
        "decided",
        [None, True],
    )
    (decision,) = shown["decisions"]
    assert (decision["decision"], decision["variantId"]) == ("declared", "B")
    assert decision["decidedBy"]


async def test_a_test_can_come_with_the_campaign(rest: Rest) -> None:
    campaign = await rest.draft(abTestConfig=TEST)
    assert campaign["abTestConfig"] == ab_test_schemas.STORED
    patched = await rest.admin.patch(f"/campaigns/{campaign['id']}", json={"abTestConfig": None})
    assert patched.json()["data"]["abTestConfig"] is None
    problem(await rest.admin.get(f"/campaigns/{campaign['id']}/ab-test"), 404)


async def test_roles_strangers_and_broken_rules_are_refused(rest: Rest) -> None:
    campaign = await rest.draft()
    path = f"/campaigns/{campaign['id']}/ab-test"
    problem(await rest.of["viewer"].post(path, json=TEST), 403)
    problem(await rest.of["editor"].post(f"{path}/winner", json={"variantId": "A"}), 403)
    for method, url, body in (
        ("POST", path, TEST),
        ("GET", path, None),
        ("POST", f"{path}/winner", {"variantId": "A"}),
    ):
        problem(await rest.stranger.request(method, url, json=body), 404)
    wrong = {
        **TEST,
        "variants": [{**TEST["variants"][0], "weight": 40}, TEST["variants"][1]],
        "testSamplePercent": 0,
        "colour": 1,
    }
    found = problem(await rest.admin.post(path, json=wrong), 422)
    assert isinstance(found["errors"], list)
    assert {error["field"] for error in found["errors"]} == {
        "variants",
        "testSamplePercent",
        "colour",
    }
    problem(await rest.admin.post(path, json=TEST, headers={"If-Match": '"7"'}), 412)


async def test_a_subject_that_is_no_template_is_refused_with_its_variant(rest: Rest) -> None:
    campaign = await rest.draft()
    wrong = {
        **TEST,
        "variants": [TEST["variants"][0], {**TEST["variants"][1], "subject": "Hello {{ firstName"}],
    }
    for method, path, body, field in (
        ("POST", f"/campaigns/{campaign['id']}/ab-test", wrong, "variants.1.subject"),
        (
            "PATCH",
            f"/campaigns/{campaign['id']}",
            {"abTestConfig": wrong},
            "abTestConfig.variants.1.subject",
        ),
    ):
        found = problem(await rest.admin.request(method, path, json=body), 422)
        assert isinstance(found["errors"], list)
        (error,) = found["errors"]
        assert (error["field"], error["message"]) == (
            field,
            "line 1: a tag or comment is not closed",
        )


async def test_a_repeated_create_gets_the_first_answer(rest: Rest) -> None:
    campaign = await rest.draft()
    first, again = [
        await rest.admin.post(
            f"/campaigns/{campaign['id']}/ab-test", json=TEST, headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert (first.status_code, first.json()) == (again.status_code, again.json())


async def test_stats_are_the_specifications_and_the_wait_has_its_end(live: Rest) -> None:
    campaign_id = await with_test(live)
    path, pool = f"/campaigns/{campaign_id}", live.world.pool
    assert (await live.admin.get(f"{path}/stats")).json()["data"]["variants"][0]["openRate"] == 0.0
    await live.admin.post(f"{path}/start")
    await sql(pool).execute(
        "UPDATE campaigns SET total_recipients = 1000 WHERE id = $1", campaign_id
    )
    number: int = await sql(pool).fetchval(
        "SELECT number FROM campaigns WHERE id = $1", campaign_id
    )
    held = CampaignSending(
        campaign_id=campaign_id,
        is_open=True,
        total=1000,
        ready=1000,
        spans=(Span(200, 1000, is_held=True),),
        granted=200,
        sent=200,
        limits=Limits(),
        waiting=Waiting("ab-test"),
    )
    await feed_sending(live.world.settings, {number: held})
    await feed_stats(live.world.settings, number, TOTAL, variants={"A": A, "B": B})
    await eventually(
        lambda: (
            live.services.stats.campaign(number).variants and live.services.sending.campaign(number)
        )
    )

    async def shown() -> dict[str, Any]:
        return dict((await live.admin.get(path)).json()["data"])

    assert (await shown())["waiting"] == {
        "reason": "ab-test",
        "until": None,
    }  # the milestone is still on its way
    sent_at = datetime(2026, 1, 28, 9, tzinfo=UTC)
    async with pool.transaction() as connection:
        await milestones.sample_sent(connection, "acme", UUID(campaign_id), sent_at)
    assert (await shown())["waiting"] == {"reason": "ab-test", "until": "2026-01-28T13:00:00.000Z"}
    test = (await live.admin.get(f"{path}/ab-test")).json()["data"]
    assert (test["state"], test["sampleSize"], test["until"]) == (
        "measuring",
        200,
        "2026-01-28T13:00:00.000Z",
    )
    assert [
        (arm["variantId"], arm["count"], arm["of"], arm["rate"])
        for arm in test["current"]["variants"]
    ] == [
        ("B", 40, 99, 40.4),
        ("A", 20, 100, 20.0),
    ]

    database = Database(live.world.settings, "test")
    assert (
        await EVALUATOR.run(
            JobContext(database, live.world.settings, live.services.stats, datetime.now(UTC))
        )
    )["declared"] == 1
    await database.close()
    a, b = (await live.admin.get(f"{path}/stats")).json()["data"]["variants"]
    assert {name: a[name] for name in ("variantId", "openRate", "clickRate")} == {
        "variantId": "A",
        "openRate": 20.0,
        "clickRate": 5.0,
    }
    assert {name: b[name] for name in ("variantId", "openRate", "clickRate")} == {
        "variantId": "B",
        "openRate": 40.4,
        "clickRate": 9.09,
    }
    assert "isWinner" not in a and b["isWinner"] is True
    assert set(b) == set(VARIANTS[1])
    test = (await live.admin.get(f"{path}/ab-test")).json()["data"]
    assert (test["state"], test["evaluation"]["outcome"], test["decisions"][0]["decision"]) == (
        "decided",
        "significant",
        "winner",
    )


async def test_a_campaign_without_a_test_has_no_variants(live: Rest) -> None:
    campaign = await live.draft()
    assert (await live.admin.get(f"/campaigns/{campaign['id']}/stats")).json()["data"][
        "variants"
    ] == []
