"""The job `campaign-scheduler`: starts every scheduled campaign whose time has come, with the code
of the start verb.

Identity: a campaign is started by the transition of its row, locked, so a second scheduler finds it
running. Order of effects per campaign: the segments and templates that it names are mirrored from
the directory services (connectors/sources, idempotent), then one SQL transaction holds the row, its
outbox records and, for an occurrence, the children of its series. Killed before the commit, nothing
has happened and the next run, here or in another worker, starts it; killed after it, it is running
and only its log line is lost. Nothing is remembered in between.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from agents.jobs.for_each import for_each
from agents.jobs.job import Job, JobContext
from connectors.sources.sources import Sources
from streams.contracts.commands import Start
from streams.errors import CampaignError
from streams.exactly_once.crash_points import crash_point
from tables.commands.due import DueCampaign, StartOutcome, due_campaigns, next_due, settle
from tables.database.connection import Session

_log = logging.getLogger(__name__)


async def start_due(context: JobContext) -> Mapping[str, int]:
    """How many campaigns were started, wait for room, were missed, superseded, failed, or delayed
    by a directory service.
    """
    done, full = Counter[str]({"started": 0}), set[str]()
    sources = Sources(context.settings)

    async def start(due: DueCampaign) -> None:
        if due.is_waiting and due.tenant_id in full:
            return
        outcome = await _start(context, sources, due)
        done[outcome] += 1
        if outcome == "waiting":
            full.add(due.tenant_id)

    try:
        await for_each(
            await context.database.until_up(
                lambda session: due_campaigns(session, context.settings, context.at)
            ),
            start,
            campaign_id=lambda due: due.id,
            failure="a scheduled campaign could not be started because of a bug",
        )
    finally:
        await sources.close()
    return done


async def _start(context: JobContext, sources: Sources, due: DueCampaign) -> str:
    """ "delayed": a directory service that it needs is down, or its template there cannot be
    used.
    """

    def sent(tenant: str, number: int) -> int:
        return context.stats.campaign(number).total.sent

    async def work(session: Session) -> StartOutcome:
        settled = await settle(session, context.settings, due, context.at, sent)
        crash_point("before-commit", "scheduler")
        return settled

    command = Start(tenant_id=due.tenant_id, correlation_id=str(due.id), campaign_id=due.id)
    try:
        await sources.prepare(context.database.until_up, command)
    except CampaignError as error:
        fields = {"campaignId": str(due.id), "error": error.detail}
        _log.warning("a scheduled campaign waits for a directory service", extra=fields)
        return "delayed"
    settled = await context.database.until_up(work)
    crash_point("after-commit", "scheduler")
    settled.log()
    return settled.outcome


SCHEDULER = Job(every=lambda settings: settings.scheduler_interval, run=start_due, due=next_due)
