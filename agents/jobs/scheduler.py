"""The job `campaign-scheduler`: starts every scheduled campaign whose time has come, with the code
of the start verb.

Identity: a campaign is started by the transition of its row, locked, so a second scheduler finds it
running. Order of effects per campaign: the segments and templates that it names are mirrored from
the directory services (connectors/sources, idempotent), then one SQL transaction holds the row, its
outbox records and, for an occurrence, the children of its series. Killed before the commit, nothing
has happened and the next run, here or in another worker, starts it; killed after it, it is running
and only its log line is lost.

Services are asked beside the runs, for one campaign of a tenant at a time. A run waits half a
second for them; a campaign whose services have not answered by then is delayed to the next run, a
second later, and the others start. The questions under way are remembered in this process only; a
successor asks again. A delayed campaign says so (`waiting`), and is given up like any other when it
is later than its `maxLateness`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID
from weakref import WeakKeyDictionary

from agents.jobs.for_each import for_each
from agents.jobs.job import Job, JobContext
from connectors.sources.sources import Sources
from streams.contracts.commands import Start
from streams.errors import CampaignError
from streams.exactly_once.crash_points import crash_point
from tables.commands.due import (
    DueCampaign,
    StartOutcome,
    delay,
    due_campaigns,
    next_due,
    settle,
)
from tables.database.connection import Session

_PATIENCE = 0.5  # seconds of a run for all services
_log = logging.getLogger(__name__)


class Questions:
    """The questions to directory services about campaigns that are due: of each tenant one question
    at a time, of all tenants at once.
    """

    def __init__(self) -> None:
        self._asking: dict[str, asyncio.Task[None]] = {}  # by tenant
        self._answers: dict[UUID, Exception | None] = {}

    async def ask(self, context: JobContext, due: Sequence[DueCampaign]) -> None:
        """Ask for the campaigns, and wait a moment for the answers."""
        wanted = {campaign.id for campaign in due}
        self._answers = {id_: told for id_, told in self._answers.items() if id_ in wanted}
        for tenant in dict.fromkeys(campaign.tenant_id for campaign in due):
            if tenant not in self._asking:
                mine = [each for each in due if each.tenant_id == tenant]
                self._asking[tenant] = asyncio.create_task(self._ask_for(context, tenant, mine))
        if under_way := [*self._asking.values()]:
            await asyncio.wait(under_way, timeout=_PATIENCE)

    def is_answered(self, campaign: DueCampaign) -> bool:
        """Whether all that the campaign names is known here now; the next run asks again. Raises
        CampaignError when a service is down, or its answer cannot be used.
        """
        if campaign.id not in self._answers:
            return False
        if (error := self._answers.pop(campaign.id)) is not None:
            raise error
        return True

    async def _ask_for(
        self, context: JobContext, tenant: str, campaigns: Sequence[DueCampaign]
    ) -> None:
        sources = Sources(context.settings)
        try:
            for due in campaigns:
                self._answers[due.id] = await _told(context, sources, due)
        finally:
            del self._asking[tenant]
            await sources.close()


async def _told(context: JobContext, sources: Sources, due: DueCampaign) -> Exception | None:
    """The failure of a question; None when everything is known here now."""
    command = Start(tenant_id=due.tenant_id, correlation_id=str(due.id), campaign_id=due.id)
    try:
        await sources.prepare(context.database.until_up, command)
    except Exception as error:  # noqa: BLE001  # the campaign's turn raises it
        return error
    return None


# of each event loop: a question outlives the run that asked it
_QUESTIONS: WeakKeyDictionary[asyncio.AbstractEventLoop, Questions] = WeakKeyDictionary()


async def start_due(context: JobContext) -> Mapping[str, int]:
    """How many campaigns were started, wait for room, were missed, superseded, failed, or delayed
    by a directory service.
    """
    done, full = Counter[str]({"started": 0}), set[str]()
    due = await context.database.until_up(
        lambda session: due_campaigns(session, context.settings, context.at)
    )
    questions = _QUESTIONS.setdefault(asyncio.get_running_loop(), Questions())
    if has_services := Sources(context.settings).are_used:
        await questions.ask(context, due)

    async def start(campaign: DueCampaign) -> None:
        if campaign.is_waiting and campaign.tenant_id in full:
            return
        outcome = await _start(context, campaign, questions if has_services else None)
        done[outcome] += 1
        if outcome == "waiting":
            full.add(campaign.tenant_id)

    await for_each(
        due,
        start,
        campaign_id=lambda campaign: campaign.id,
        failure="a scheduled campaign could not be started because of a bug",
    )
    return done


async def _start(context: JobContext, due: DueCampaign, questions: Questions | None) -> str:
    """ "delayed": a directory service that it needs has not answered, or cannot be used."""

    def sent(tenant: str, number: int) -> int:
        return context.stats.campaign(number).total.sent

    try:
        turn = settle if questions is None or questions.is_answered(due) else delay
    except CampaignError as error:
        fields = {"campaignId": str(due.id), "error": error.detail}
        _log.warning("a scheduled campaign waits for a directory service", extra=fields)
        turn = delay

    async def work(session: Session) -> StartOutcome:
        settled = await turn(session, context.settings, due, context.at, sent)
        crash_point("before-commit", "scheduler")
        return settled

    settled = await context.database.until_up(work)
    crash_point("after-commit", "scheduler")
    settled.log()
    return settled.outcome


SCHEDULER = Job(every=lambda settings: settings.scheduler_interval, run=start_due, due=next_due)
