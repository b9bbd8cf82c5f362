"""The REST routes of A/B tests: make one, look at it, declare its winner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from api.campaigns.answers import success
from api.campaigns.routes import CampaignId, Existing, IdempotencyKey, IfMatch, carry_out
from api.http.auth import Editor, Sender
from api.http.json_bodies import JsonRoute
from streams.contracts.ab_tests import AbTest, Winner, sample
from streams.contracts.commands import Verb
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import Status
from streams.errors import NotFoundError
from tables.campaigns.ab_test_statistics import evaluate
from tables.campaigns.ab_tests import Decided, decisions, test_of
from tables.campaigns.campaign import Campaign
from tables.database.failures import translated
from tables.stats.views import StatsView

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)


@router.post("/{campaignId}/ab-test", status_code=201)
async def create_ab_test(
    request: Request,
    response: Response,
    who: Editor,
    campaign_id: CampaignId,
    body: AbTest,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Give the campaign an A/B test, in place of the one it had; until it starts. The answer is the
    campaign with its `abTestConfig`.
    """
    return await carry_out(
        request, response, who, Verb.AB_TEST, campaign_id, body, idempotency_key, if_match
    )


@router.get("/{campaignId}/ab-test")
async def ab_test(request: Request, campaign: Existing) -> dict[str, Any]:
    """The test: its plan, its state, what was decided and on which figures (`evaluation`), and the
    figures as they are now (`current`).
    """
    if (test := test_of(campaign)) is None:
        raise NotFoundError("The campaign has no A/B test.")
    with translated():
        async with request.app.state.pool.acquire() as connection:
            decided = await decisions(connection, campaign)
    return success(_shown(campaign, test, decided, request.app.state.stats))


@router.post("/{campaignId}/ab-test/winner")
async def declare_winner(
    request: Request,
    response: Response,
    who: Sender,
    campaign_id: CampaignId,
    body: Winner,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Declare the winner, at any time while the campaign is sent: everybody who was held back gets
    it. Another one afterwards is 409.
    """
    return await carry_out(
        request, response, who, Verb.WINNER, campaign_id, body, idempotency_key, if_match
    )


def _shown(
    campaign: Campaign, test: AbTest, decided: Sequence[Decided], stats: StatsView
) -> dict[str, Any]:
    total, winner = campaign.total_recipients, campaign.winner_variant_id
    plan = test.stored()
    variants = [
        variant | ({"isWinner": True} if variant["variantId"] == winner else {})
        for variant in plan["variants"]
    ]
    is_measured = stats.ready.is_set() and total is not None
    now = rfc3339(datetime.now(UTC))
    current = evaluate(test, stats.campaign(campaign.number).variants, now) if is_measured else None
    return {
        "campaignId": str(campaign.id),
        **plan,
        "variants": variants,
        "state": state(campaign),
        "sampleSize": None if total is None else sample(test, total).cut,
        "sampleSentAt": _instant(campaign.sample_sent_at),
        "until": _instant(campaign.ab_test_until),
        "winnerVariantId": winner,
        "evaluation": next(
            (one.evaluation for one in reversed(decided) if one.evaluation is not None), None
        ),
        "current": msgspec.to_builtins(current),
        "decisions": [
            {
                "at": rfc3339(one.at),
                "decision": one.decision,
                "variantId": one.variant_id,
                "decidedBy": one.decided_by and str(one.decided_by),
            }
            for one in decided
        ],
    }


def state(campaign: Campaign) -> str:
    """`planned`, `sampling` until the sample is out, `measuring` until it is due, `undecided` when
    a person has to decide, `decided`.
    """
    if campaign.winner_variant_id is not None:
        return "decided"
    if campaign.status in (Status.DRAFT, Status.SCHEDULED):
        return "planned"
    if campaign.status is Status.CANCELLED:
        return "cancelled"
    if campaign.sample_sent_at is None:
        return "sampling"
    return "undecided" if campaign.ab_test_until is None else "measuring"


def _instant(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
