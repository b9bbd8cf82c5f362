"""A/B tests in SQL: who gets what, the clock, and one decision however many decide at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from streams.contracts.ab_tests import sample
from streams.contracts.commands import Verb
from streams.contracts.envelope import rfc3339
from streams.contracts.evaluations import Evaluation
from streams.errors import CampaignError, ConflictError, IllegalTransitionError
from streams.records.stats import Counts
from tables.campaigns import ab_tests
from tables.campaigns.ab_test_statistics import Decision, evaluate
from tables.commands import milestones
from tests.postgres import sql
from tests.streams.contracts.test_ab_tests import ab_test, body
from tests.tables.audience.audience_world import Directory, announce, record, stage, write
from tests.tables.campaigns.ab_test_world import one, variants
from tests.tables.campaigns.campaign_world import World

AT = datetime(2026, 1, 28, 9, tzinfo=UTC)
HOURS = timedelta(hours=4)


async def sampled(world: World, at: datetime = AT, **config: Any) -> UUID:
    """A running campaign whose sample is out."""
    campaign_id = await world.started(abTestConfig=body(50, 50, **config))
    await sql(world.pool).execute(
        "UPDATE campaigns SET total_recipients = 1000 WHERE id = $1", campaign_id
    )
    async with world.pool.transaction() as connection:
        await milestones.sample_sent(connection, world.tenant, campaign_id, at)
    return campaign_id


def figures(a: int, b: int, of: int = 100, **config: Any) -> Evaluation:
    counts = {
        name: Counts(sent=of, delivered=of, opened=opened) for name, opened in (("A", a), ("B", b))
    }
    return evaluate(ab_test(50, 50, **config), counts, rfc3339(AT))


async def conclude(
    world: World, campaign_id: UUID, evaluation: Evaluation, at: datetime
) -> Decision | None:
    before = await one(world, campaign_id)
    async with world.pool.transaction() as connection:
        return await ab_tests.conclude(connection, before, evaluation, at)


async def decided(world: World, campaign_id: UUID) -> list[str]:
    campaign = await one(world, campaign_id)
    async with world.pool.transaction() as connection:
        return [found.decision for found in await ab_tests.decisions(connection, campaign)]


async def next_due(world: World) -> datetime | None:
    async with world.pool.transaction() as connection:
        return await ab_tests.next_due(connection)


async def released(world: World) -> list[str]:
    return [
        value["variantId"]
        for _, _, value in await world.outbox()
        if value.get("type") == "spans-released"
    ]


@pytest.mark.parametrize("percent", [20, 100])
async def test_the_ledger_says_who_gets_what_page_by_page_and_again(
    world: World, percent: int
) -> None:
    directory = Directory(world)
    await directory.add(world.segment, *(f"p{n}@example.com" for n in range(777)))
    campaign_id = await world.started(abTestConfig=body(50, 30, 20, percent=percent))
    wanted = await record(world, campaign_id)
    total = await stage(world, wanted)
    assert total == 777
    await announce(world, wanted, total)
    pages = [(start, min(start + 50, total)) for start in range(0, total, 50)]
    for start, stop in [*pages[:-1], pages[3], pages[-1]]:  # one of them twice
        assert await write(world, wanted, total, start, stop)
    rows = await sql(world.pool).fetch(
        "SELECT variant_id FROM campaign_recipients WHERE campaign_id = $1 ORDER BY id", campaign_id
    )
    split = sample(ab_test(50, 30, 20, percent=percent), total)
    assert [row["variant_id"] for row in rows] == [
        split.variant(ordinal) for ordinal in range(total)
    ]
    counts = Counter(row["variant_id"] for row in rows)
    assert counts == (
        {"A": 389, "B": 233, "C": 155} if percent == 100 else {"A": 78, "B": 46, "C": 31, None: 622}
    )


async def test_the_clock_starts_with_the_last_message_of_the_sample(world: World) -> None:
    campaign_id = await sampled(world)
    campaign = await one(world, campaign_id)
    assert (campaign.sample_sent_at, campaign.ab_test_until) == (AT, AT + HOURS)
    assert await next_due(world) == AT + HOURS
    async with world.pool.transaction() as connection:
        assert await ab_tests.due(connection, AT + HOURS - timedelta(seconds=1)) == []
        assert [found.id for found in await ab_tests.due(connection, AT + HOURS)] == [campaign_id]
    await world.do(Verb.CANCEL, campaign_id)
    assert await next_due(world) is None


async def test_a_sample_of_everybody_is_evaluated_after_the_campaign_is_complete(
    world: World,
) -> None:
    campaign_id = await world.started(abTestConfig=body(50, 50, percent=100))
    async with world.pool.transaction() as connection:
        await milestones.finished(connection, world.tenant, campaign_id, sent=200, skipped=0, at=AT)
    campaign = await one(world, campaign_id)
    assert (campaign.status, campaign.sample_sent_at, campaign.ab_test_until) == (
        "completed",
        AT,
        AT + HOURS,
    )
    assert await conclude(world, campaign_id, figures(20, 60), AT + HOURS) is Decision.WINNER
    assert (await one(world, campaign_id)).winner_variant_id == "B"
    assert await released(world) == []  # nobody was held back
    with pytest.raises(ConflictError, match="B is the winner"):
        await world.do(Verb.WINNER, campaign_id, {"variantId": "A"})


async def test_a_test_with_nobody_in_it_is_not_evaluated(world: World) -> None:
    campaign_id = await world.started(abTestConfig=body(50, 50))
    async with world.pool.transaction() as connection:
        await milestones.finished(connection, world.tenant, campaign_id, sent=0, skipped=0, at=AT)
    assert await next_due(world) is None


async def test_the_winner_its_event_and_the_release_are_one_change(world: World) -> None:
    campaign_id = await sampled(world)
    evaluation = figures(20, 60)
    assert await conclude(world, campaign_id, evaluation, AT + HOURS - timedelta(seconds=1)) is None
    assert await conclude(world, campaign_id, evaluation, AT + HOURS) is Decision.WINNER
    campaign = await one(world, campaign_id)
    assert (campaign.winner_variant_id, campaign.ab_test_until) == ("B", None)
    assert {row["variant_id"]: row["is_winner"] for row in await variants(world, campaign_id)} == {
        "A": False,
        "B": True,
    }
    kind, event = (await world.events())[-1]
    assert (kind, event["variantId"], event["by"]) == (
        "campaign.ab-test.winner-declared",
        "B",
        "evaluator",
    )
    shown = event["evaluation"]
    assert (shown["outcome"], shown["criteria"]) == ("significant", "highest opened of delivered")
    assert [(arm["variantId"], arm["rate"]) for arm in shown["variants"]] == [
        ("B", 60.0),
        ("A", 20.0),
    ]
    assert all(arm["low"] < arm["rate"] < arm["high"] for arm in shown["variants"])
    assert shown["pValue"] < 0.05
    assert await released(world) == ["B"]
    assert await conclude(world, campaign_id, evaluation, AT + 2 * HOURS) is None


async def test_of_many_evaluators_and_a_person_at_once_one_decides(world: World) -> None:
    campaign_id = await sampled(world)
    evaluators = asyncio.gather(
        *(conclude(world, campaign_id, figures(20, 60), AT + HOURS) for _ in range(8))
    )
    outcomes, answer = await asyncio.gather(
        evaluators, world.answer(Verb.WINNER, campaign_id, {"variantId": "A"})
    )
    is_by_person = answer.status == 200
    assert outcomes.count(Decision.WINNER) == (0 if is_by_person else 1)
    assert answer.status in (200, 409)
    winner = "A" if is_by_person else "B"
    assert await released(world) == [winner]
    assert (await one(world, campaign_id)).winner_variant_id == winner
    assert len(await decided(world, campaign_id)) == 1


async def test_a_tie_is_extended_once_by_the_same_time_and_then_the_best_wins(world: World) -> None:
    campaign_id = await sampled(world, onTie="extend")
    tie = figures(30, 31)
    assert await conclude(world, campaign_id, tie, AT + HOURS) is Decision.EXTEND
    assert await next_due(world) == AT + 2 * HOURS
    assert await released(world) == []
    assert (
        await conclude(world, campaign_id, tie, AT + HOURS) is None
    )  # the second of two evaluators
    assert await conclude(world, campaign_id, tie, AT + 2 * HOURS) is Decision.WINNER
    assert await decided(world, campaign_id) == ["extend", "winner"]
    assert await released(world) == ["B"]


async def test_too_little_data_asks_once_and_a_person_decides(world: World) -> None:
    campaign_id = await sampled(world, onTooFew="manual")
    few = figures(1, 9, of=10)
    assert await conclude(world, campaign_id, few, AT + HOURS) is Decision.ASK
    assert await conclude(world, campaign_id, few, AT + HOURS) is None
    assert await next_due(world) is None
    kind, event = (await world.events())[-1]
    assert (kind, event["reason"]) == ("campaign.alert", "ab-test-undecided")
    await world.do(Verb.WINNER, campaign_id, {"variantId": "A"})
    assert await decided(world, campaign_id) == ["ask", "declared"]
    assert await released(world) == ["A"]


async def test_a_person_declares_the_winner_at_any_time_and_once(world: World) -> None:
    campaign_id = await world.started(abTestConfig=body(50, 50))
    await world.do(Verb.PAUSE, campaign_id)
    shown = await world.do(Verb.WINNER, campaign_id, {"variantId": "A"})
    assert (shown["winnerVariantId"], shown["abTestUntil"], shown["status"]) == (
        "A",
        None,
        "paused",
    )
    kind, event = (await world.events())[-1]
    assert (kind, event["by"], event["declaredBy"]) == (
        "campaign.ab-test.winner-declared",
        "person",
        str(world.user),
    )
    version = shown["version"]
    assert (await world.do(Verb.WINNER, campaign_id, {"variantId": "A"}))[
        "version"
    ] == version  # nothing happens twice
    with pytest.raises(ConflictError, match="A is the winner of this test already"):
        await world.do(Verb.WINNER, campaign_id, {"variantId": "B"})
    assert await released(world) == ["A"]
    # the sample goes out to its end, and nothing is due any more
    async with world.pool.transaction() as connection:
        await milestones.finished(connection, world.tenant, campaign_id, sent=10, skipped=0, at=AT)
    campaign = await one(world, campaign_id)
    assert (campaign.status, campaign.sample_sent_at, campaign.ab_test_until) == (
        "completed",
        AT,
        None,
    )


async def test_no_winner_without_a_test_without_that_variant_or_in_another_status(
    world: World,
) -> None:
    plain = await world.started()
    with pytest.raises(CampaignError, match="variantId: the campaign has no A/B test"):
        await world.do(Verb.WINNER, plain, {"variantId": "A"})
    tested = await world.created(abTestConfig=body(50, 50))
    with pytest.raises(
        IllegalTransitionError, match=r"draft, which does not allow ab-test\.declare-winner"
    ):
        await world.do(Verb.WINNER, tested, {"variantId": "A"})
    await world.do(Verb.START, tested)
    with pytest.raises(CampaignError, match="variantId: one of A, B"):
        await world.do(Verb.WINNER, tested, {"variantId": "C"})
    await world.do(Verb.CANCEL, tested)
    with pytest.raises(IllegalTransitionError, match="cancelled"):
        await world.do(Verb.WINNER, tested, {"variantId": "A"})


async def test_a_foreign_campaign_is_unknown(world: World) -> None:
    assert (await world.answer(Verb.AB_TEST, uuid4(), body(50, 50))).status == 404
    assert (await world.answer(Verb.WINNER, uuid4(), {"variantId": "A"})).status == 404
