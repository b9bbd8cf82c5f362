"""The job `campaign-ab-test-evaluator`: decides the A/B tests that are due, by the live counts.

It runs every `ab_test_interval`, and at the instant when a test is due. Identity of a decision: the
campaign's row, which says until when the test lasts. One transaction per test: lock the row, see
that the test is still due, write the decision with its figures, the winner, its event and the
release for the throttle. Killed before its commit, nothing has happened and the next run decides;
after it, the outbox has the event and the release, and no run finds the test due again. Two
evaluators at once wait for each other at the row, and the second finds nothing to do; a person who
declares the winner meanwhile does so at the same row.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from agents.jobs.for_each import for_each
from agents.jobs.job import Job, JobContext
from streams.contracts.ab_tests import AbTest, sample
from streams.contracts.envelope import rfc3339
from streams.errors import NotFoundError
from streams.exactly_once.crash_points import crash_point
from tables.campaigns import ab_tests
from tables.campaigns.ab_test_statistics import Decision, evaluate
from tables.database.connection import Session
from tables.models import Campaign
from tables.stats.totals import CampaignStats

_DONE = {Decision.WINNER: "declared", Decision.EXTEND: "extended", Decision.ASK: "asked"}
_log = logging.getLogger(__name__)


def is_counted(test: AbTest, total: int, stats: CampaignStats) -> bool:
    """The live counts, which come a second late and after an outage later, hold the whole
    sample.
    """
    return stats.total.sent + stats.total.skipped >= sample(test, total).cut


async def _run(context: JobContext) -> Mapping[str, int]:
    """How many tests ended in which way."""
    done = Counter[str](dict.fromkeys(_DONE.values(), 0))

    async def evaluate_one(campaign: Campaign) -> None:
        if decision := await _evaluate(context, campaign):
            done[_DONE[decision]] += 1

    await for_each(
        await context.database.until_up(lambda session: ab_tests.due(session, context.at)),
        evaluate_one,
        campaign_id=lambda campaign: campaign.id,
        failure="an A/B test could not be evaluated because of a bug",
    )
    return done


async def _evaluate(context: JobContext, campaign: Campaign) -> Decision | None:
    """The decision, committed; None when the counts do not hold the sample yet, or the test has
    ended since.
    """
    test, stats = ab_tests.test_of(campaign), context.stats.campaign(campaign.number)
    if test is None or not is_counted(test, campaign.total_recipients or 0, stats):
        _log.debug("an A/B test waits for the live counts", extra={"campaignId": str(campaign.id)})
        return None
    evaluation = evaluate(test, stats.variants, rfc3339(context.at))

    async def work(session: Session) -> Decision | None:
        try:
            decision = await ab_tests.conclude(session, campaign, evaluation, context.at)
        except NotFoundError:  # deleted since the look
            return None
        crash_point("before-commit", "evaluator")
        return decision

    decision = await context.database.until_up(work)
    crash_point("concluded", "evaluator")
    if decision is not None:
        fields = {
            "tenantId": campaign.tenant_id,
            "campaignId": str(campaign.id),
            "decision": decision,
            "outcome": evaluation.outcome,
            "variantId": evaluation.best if decision is Decision.WINNER else None,
            "pValue": evaluation.p_value,
        }
        _log.info("an A/B test was evaluated", extra=fields)
    return decision


EVALUATOR = Job(every=lambda settings: settings.ab_test_interval, run=_run, due=ab_tests.next_due)
