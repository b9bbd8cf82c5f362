"""A/B tests at rest: their variants, when they are due, the decisions about them, and the release
of the recipients that were held back.

Everything happens in the transaction of the caller. A decision, the winner, the event and the
release are one transaction on the locked row of the campaign, so of two evaluators, or of an
evaluator and a person, one decides, and a crash leaves all of it or nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, insert, literal, select, update

from streams.contracts import events
from streams.contracts.ab_tests import AbTest
from streams.contracts.envelope import rfc3339
from streams.contracts.evaluations import Evaluation
from streams.contracts.fields import ACTIVE, Status
from streams.errors import ConflictError, FieldError, broken
from streams.records.sending import SpansReleased
from tables.campaigns.ab_test_statistics import Decision, decide
from tables.campaigns.campaign import change_campaign, lock_campaign
from tables.campaigns.changes import publish
from tables.database.connection import Session
from tables.database.outbox import to_throttle
from tables.models import AbTestDecision, Campaign, CampaignVariant

UNDECIDED = "ab-test-undecided"  # reason of the alert
_AT_ONCE = 200  # tests that one run of the evaluator looks at; the next run is a second later
_UNDECIDED = (
    Campaign.ab_test_until.is_not(None),
    Campaign.deleted_at.is_(None),
    Campaign.status.in_((*ACTIVE, Status.COMPLETED)),
)


def test_of(campaign: Campaign) -> AbTest | None:
    """The test of the campaign, None when it has none."""
    return (
        None
        if campaign.ab_test_config is None
        else AbTest.model_validate(campaign.ab_test_config, extra="ignore")
    )


async def write_variants(session: Session, campaign: Campaign) -> None:
    """Make the rows of `campaign_variants` say what the campaign does. A variant without any
    template has no row yet.
    """
    if campaign.version > 1:
        await session.execute(
            delete(CampaignVariant).where(CampaignVariant.campaign_id == campaign.id)
        )
    test = test_of(campaign)
    rows = [
        {
            "campaign_id": campaign.id,
            "variant_id": variant.variant_id,
            "name": variant.name,
            "template_id": variant.template_id or campaign.template_id,
            "subject": variant.subject,
            "weight": variant.weight,
        }
        for variant in (test.variants if test else ())
        if variant.template_id or campaign.template_id
    ]
    if rows:
        await session.execute(insert(CampaignVariant).values(rows))


async def copy_variants(session: Session, from_id: UUID, to_id: UUID) -> None:
    """The variants of a campaign as another one's, which has none yet; the winner is not copied."""
    columns = ("variant_id", "name", "template_id", "subject", "weight")
    found = select(literal(to_id), *(getattr(CampaignVariant, column) for column in columns)).where(
        CampaignVariant.campaign_id == from_id
    )
    await session.execute(insert(CampaignVariant).from_select(["campaign_id", *columns], found))


def clock(campaign: Campaign, at: datetime) -> dict[str, datetime]:
    """The columns that change when the last message of the sample has been sent; once a winner is
    known nothing is due any more.
    """
    test = test_of(campaign)
    if test is None or campaign.winner_variant_id is not None:
        return {"sample_sent_at": at}
    return {"sample_sent_at": at, "ab_test_until": at + test.duration}


async def next_due(session: Session) -> datetime | None:
    """When the next test is to be evaluated."""
    return await session.scalar(select(func.min(Campaign.ab_test_until)).where(*_UNDECIDED))


async def due(session: Session, at: datetime) -> list[Campaign]:
    """The campaigns whose tests are to be evaluated by now, the longest overdue first."""
    overdue = select(Campaign).where(*_UNDECIDED, Campaign.ab_test_until <= at)
    return await session.every(overdue.order_by(Campaign.ab_test_until).limit(_AT_ONCE))


async def decisions(session: Session, campaign: Campaign) -> list[AbTestDecision]:
    """The decisions about the campaign's test, in order."""
    found = select(AbTestDecision).where(AbTestDecision.campaign_id == campaign.id)
    return await session.every(found.order_by(AbTestDecision.seq))


async def declare(
    session: Session,
    campaign: Campaign,
    variant_id: str,
    actor: UUID | None,
    cause: events.Cause,
) -> Campaign:
    """A person decides, whenever the campaign is being sent or has been without a decision. The
    same winner again changes nothing.

    Raises CampaignError for a variant that the campaign does not have, ConflictError when another
    one has won. The row is locked.
    """
    if campaign.is_series:
        raise broken(
            FieldError("variantId", "a series has no winner, each of its campaigns has its own")
        )
    test = test_of(campaign)
    known = [variant.variant_id for variant in test.variants] if test else []
    if variant_id not in known:
        raise broken(
            FieldError(
                "variantId",
                f"one of {', '.join(known)}" if known else "the campaign has no A/B test",
            )
        )
    if campaign.winner_variant_id == variant_id:
        return campaign
    if campaign.winner_variant_id is not None:
        raise ConflictError(
            f"{campaign.winner_variant_id} is the winner of this test already,"
            f" {variant_id} cannot become it."
        )
    await _record(session, campaign, cause.at, "declared", variant_id, actor)
    declared_by = str(actor) if actor else None
    event = _won(campaign, variant_id, cause.at, declared_by=declared_by, by="person")
    return await _release(session, campaign, event, cause)


async def conclude(
    session: Session, due: Campaign, evaluation: Evaluation, at: datetime
) -> Decision | None:
    """The evaluator decides by the test's policy; None when there is nothing to decide (any more).
    Raises NotFoundError.
    """
    campaign = await lock_campaign(session, due.tenant_id, due.id)
    test = test_of(campaign)
    if (
        test is None
        or campaign.ab_test_until is None
        or campaign.ab_test_until > at
        or campaign.status is Status.CANCELLED
    ):
        return None
    is_extended = any(one.decision == Decision.EXTEND for one in await decisions(session, campaign))
    decision = decide(test, evaluation.outcome, is_extended=is_extended)
    winner = evaluation.best if decision is Decision.WINNER else None
    await _record(session, campaign, at, decision, winner, None, evaluation)
    cause = events.Cause(campaign.origin, at)
    match decision:
        case Decision.WINNER:
            event = _won(campaign, evaluation.best, at, by="evaluator", evaluation=evaluation)
            await _release(session, campaign, event, cause)
        case Decision.EXTEND:
            after = await change_campaign(
                session, campaign, at, ab_test_until=campaign.ab_test_until + test.duration
            )
            await publish(session, after, events.Updated(*after.head, ("abTestUntil",)), cause)
        case Decision.ASK:
            after = await change_campaign(session, campaign, at, ab_test_until=None)
            said = "The A/B test has no clear winner and waits for somebody to declare one."
            alert = events.Alert(*after.head, rfc3339(at), UNDECIDED, said)
            await publish(session, after, alert, cause)
        case _:
            assert_never(decision)
    return decision


def _won(campaign: Campaign, variant_id: str, at: datetime, **more: Any) -> events.WinnerDeclared:
    return events.WinnerDeclared(*campaign.head, variant_id, rfc3339(at), **more)


async def _release(
    session: Session, campaign: Campaign, event: events.WinnerDeclared, cause: events.Cause
) -> Campaign:
    """The rest of the audience gets the winner, throttled as any other recipients."""
    winner = event.variant_id
    await session.execute(
        update(CampaignVariant)
        .where(CampaignVariant.campaign_id == campaign.id, CampaignVariant.variant_id == winner)
        .values(is_winner=True)
    )
    after = await change_campaign(
        session, campaign, cause.at, winner_variant_id=winner, ab_test_until=None
    )
    internal = []
    if after.status in ACTIVE:
        release = SpansReleased(tenant_id=after.tenant_id, number=after.number, variant_id=winner)
        internal.append(to_throttle(release, after.id, after.version))
    await publish(session, after, event, cause, *internal)
    return after


async def _record(
    session: Session,
    campaign: Campaign,
    at: datetime,
    decision: str,
    variant_id: str | None,
    actor: UUID | None,
    evaluation: Evaluation | None = None,
) -> None:
    await session.execute(
        insert(AbTestDecision).values(
            campaign_id=campaign.id,
            at=at,
            decision=decision,
            variant_id=variant_id,
            decided_by=actor,
            evaluation=None if evaluation is None else msgspec.to_builtins(evaluation),
        )
    )
