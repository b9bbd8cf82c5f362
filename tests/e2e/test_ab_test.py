"""An A/B test end to end on the real engines, with kill -9 between the decision and the release:
exact, sticky, and everybody once.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from streams.contracts.ab_tests import AbTest, sample
from tests.e2e import world
from tests.e2e.checker import (
    assert_each_recipient_once,
    committed,
    published_on_nats,
    sent_messages,
)
from tests.e2e.conftest import Running
from tests.e2e.truth import Truth
from tests.eventually import eventually

PEOPLE, CUT = 2_000, 400
TEST: dict[str, Any] = {
    "variants": [
        {"variantId": "A", "name": "Short", "subject": "Big sale, {{ firstName }}!", "weight": 60},
        {
            "variantId": "B",
            "name": "Long",
            "subject": "{{ firstName }}, up to 70% off",
            "weight": 40,
        },
    ],
    "winnerCriteria": "open_rate",
    "testDurationHours": 12 / 3600,
    "testSamplePercent": 20,
}
SENDER = {
    "fromName": "Acme",
    "fromEmail": "news@acme.example",
    "trackOpens": True,
    "trackClicks": True,
}


def messages_of(running: Running) -> dict[int, dict[str, Any]]:
    """The message of each ordinal, read by another Kafka client."""
    found = [
        json.loads(record.value()) for record in committed(running.settings, "pipeline.messages.v1")
    ]
    return {message["recipientNumber"]: message for message in found}


async def test_the_sample_is_exact_the_rest_waits_and_gets_the_winner_despite_kill_9(
    running: Running,
) -> None:
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    await world.people(connection, acme, "all", PEOPLE)
    rest = world.Rest(running.url, acme.key)
    # dies as soon as the winner is committed, before anybody has told the throttle; and comes back
    running.processes.processes["control"].stop()
    running.processes.start("control", {"CAMPAIGNS_CRASH": "evaluator:concluded:1"})
    template = await world.template(connection, acme)
    # 300 in six seconds: the sample takes a while, and so do those who were held back
    slowly = {"messagesPerHour": 300}
    campaign = await rest.started(
        template, [acme.segments["all"]], settings=SENDER, throttleConfig=slowly, abTestConfig=TEST
    )
    split = sample(AbTest.model_validate(TEST), PEOPLE)

    async def is_held() -> bool:
        shown = await rest("GET", f"/campaigns/{campaign}")
        return bool(
            shown["waiting"]
            and shown["waiting"]["reason"] == "ab-test"
            and shown["waiting"]["until"]
        )

    await eventually(is_held, within=300)
    assert (await rest("GET", f"/campaigns/{campaign}/ab-test"))["state"] == "measuring"
    sampled = messages_of(running)
    assert sorted(sampled) == list(range(CUT))
    assert all(
        message["variantId"] == split.variant(ordinal) for ordinal, message in sampled.items()
    )
    assert Counter(message["variantId"] for message in sampled.values()) == {"A": 240, "B": 160}
    subjects = {
        (message["variantId"], message["content"]["subject"].startswith("Big sale, Ana"))
        for message in sampled.values()
    }
    assert subjects == {("A", True), ("B", False)}

    await rest("PATCH", f"/campaigns/{campaign}", {"throttleConfig": None})

    async def is_completed() -> bool:
        return bool((await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed")

    await eventually(is_completed, within=300)
    assert running.processes.processes["control"].restarts == 1
    assert_each_recipient_once(sent_messages(running.settings), {campaign: acme.people["all"]})
    winner = (await rest("GET", f"/campaigns/{campaign}"))["winnerVariantId"]
    sent = messages_of(running)
    assert {ordinal: sent[ordinal] for ordinal in range(CUT)} == sampled
    assert {sent[ordinal]["variantId"] for ordinal in range(CUT, PEOPLE)} == {winner}

    await eventually(
        lambda: _stats_are_a_recount(rest, running, campaign, sent, winner), within=300
    )
    await eventually(lambda: _rows_agree(connection, campaign, sent), within=300)
    await eventually(lambda: _declared_once(running, campaign, winner), within=300)
    await rest.close()
    await connection.close()


async def _stats_are_a_recount(
    rest: world.Rest, running: Running, campaign: str, sent: dict[int, dict[str, Any]], winner: str
) -> bool:
    shown = await rest("GET", f"/campaigns/{campaign}/stats")
    everybody = Truth.of(running.truth, campaign)
    assert [variant["variantId"] for variant in shown["variants"]] == ["A", "B"]
    for variant in shown["variants"]:
        ids = {
            message["messageId"]
            for message in sent.values()
            if message["variantId"] == variant["variantId"]
        }
        theirs = Truth(
            {kind: reported & ids for kind, reported in everybody.reported.items()}
        ).stats()
        expected = {
            name: theirs[name]
            for name in (
                "deliveredCount",
                "openedCount",
                "clickedCount",
                "bouncedCount",
                "unsubscribedCount",
            )
        }
        assert {name: variant[name] for name in expected} == expected
        assert variant["sentCount"] == len(ids)
        assert variant["openRate"] == pytest.approx(
            100 * theirs["openedCount"] / theirs["deliveredCount"], abs=0.0051
        )
        assert variant.get("isWinner", False) is (variant["variantId"] == winner)
    return True


async def _rows_agree(connection: Any, campaign: str, sent: dict[int, dict[str, Any]]) -> bool:
    rows = await connection.fetch(
        "SELECT variant_id, message_id FROM campaign_recipients WHERE campaign_id = $1 ORDER BY id",
        campaign,
    )
    assert [(row["variant_id"], str(row["message_id"])) for row in rows] == [
        (sent[ordinal]["variantId"], sent[ordinal]["messageId"]) for ordinal in range(PEOPLE)
    ]
    return True


async def _declared_once(running: Running, campaign: str, winner: str) -> bool:
    seen = await published_on_nats(running.settings)
    (event,) = seen["campaign.ab-test.winner-declared"]
    assert (event["data"]["campaignId"], event["data"]["variantId"], event["data"]["by"]) == (
        campaign,
        winner,
        "evaluator",
    )
    assert sum(arm["of"] for arm in event["data"]["evaluation"]["variants"]) <= CUT
    return True
