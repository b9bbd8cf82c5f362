"""The REST routes of A/B tests: make one, look at it, declare its winner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from fastapi import APIRouter

from api.campaigns.ab_test_schemas import (
    TEST,
    WINNER,
    WITH_TEST,
    WITH_WINNER,
    AbTestShown,
    Decision,
    Evaluation,
    State,
    Variant,
)
from api.campaigns.commands import Editing, Sending
from api.campaigns.routes import Existing
from api.campaigns.schemas import Campaign as CampaignAnswer
from api.http.dependencies import Provided
from api.http.envelope import Success, answers, asks, success
from api.http.json_bodies import JsonRoute
from api.http.preconditions.conditions import ToShow
from streams.contracts.ab_tests import AbTest, Winner, sample
from streams.contracts.commands import CreateAbTest, DeclareWinner, version_tag
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import Status
from streams.errors import NotFoundError
from tables.campaigns.ab_test_statistics import evaluate
from tables.campaigns.ab_tests import decisions, test_of
from tables.models import AbTestDecision, Campaign
from tables.stats.views import StatsView

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)


@router.post(
    "/{campaignId}/ab-test",
    status_code=201,
    openapi_extra=asks(TEST),
    responses=answers(201, WITH_TEST),
)
async def create_ab_test(command: Editing, body: AbTest) -> Success[CampaignAnswer]:
    """Give the campaign an A/B test, in place of the one it had; until it starts. The answer is the
    campaign with its `abTestConfig`.
    """
    return success(await command.campaign(CreateAbTest, body))


@router.get("/{campaignId}/ab-test")
async def ab_test(
    services: Provided, campaign: Existing, conditions: ToShow
) -> Success[AbTestShown]:
    """The test: its plan, its state, what was decided and on which figures (`evaluation`), and the
    figures as they are now (`current`).
    """
    if (test := test_of(campaign)) is None:
        raise NotFoundError("The campaign has no A/B test.")
    conditions.show(version_tag(campaign.version))
    async with services.database.transaction() as session:
        decided = await decisions(session, campaign)
    return success(_shown(campaign, test, decided, services.stats))


@router.post(
    "/{campaignId}/ab-test/winner",
    openapi_extra=asks(WINNER),
    responses=answers(200, WITH_WINNER),
)
async def declare_winner(command: Sending, body: Winner) -> Success[CampaignAnswer]:
    """Declare the winner, at any time while the campaign is sent: all recipients held back get it.
    Another one afterwards is 409.
    """
    return success(await command.campaign(DeclareWinner, body))


def _shown(
    campaign: Campaign, test: AbTest, decided: Sequence[AbTestDecision], stats: StatsView
) -> AbTestShown:
    total, winner = campaign.total_recipients, campaign.winner_variant_id
    plan = test.stored()
    variants = [Variant.model_validate(one) for one in plan.pop("variants")]
    found = [one.evaluation for one in decided if one.evaluation is not None]
    return AbTestShown(
        **plan,
        campaign_id=campaign.id,
        variants=[_marked(one) if one.variant_id == winner else one for one in variants],
        state=state(campaign),
        sample_size=None if total is None else sample(test, total).cut,
        sample_sent_at=campaign.sample_sent_at,
        until=campaign.ab_test_until,
        winner_variant_id=winner,
        evaluation=Evaluation.model_validate(found[-1]) if found else None,
        current=_current(campaign, test, stats),
        decisions=[Decision.of_row(one) for one in decided],
    )


def _marked(winner: Variant) -> Variant:
    return winner.model_copy(update={"is_winner": True})


def _current(campaign: Campaign, test: AbTest, stats: StatsView) -> Evaluation | None:
    if not stats.ready.is_set() or campaign.total_recipients is None:
        return None
    counts, now = stats.campaign(campaign.number).variants, rfc3339(datetime.now(UTC))
    return Evaluation.model_validate(msgspec.to_builtins(evaluate(test, counts, now)))


def state(campaign: Campaign) -> State:
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
