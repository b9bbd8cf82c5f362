"""The job `campaign-scheduler`: starts every scheduled campaign whose time has come, with the code
of the start verb.

Identity: a campaign is started by the transition of its row, locked, so whoever comes second finds
it running. Order of effects per campaign: what it names is mirrored from the directory services
(connectors/sources, idempotent), then one SQL transaction holds the row, its outbox records and,
for an occurrence, the children of its series. Killed before the commit, nothing has happened and
the next run, here or in another worker, starts it; killed after it, it is running and only its log
line is lost. Nothing is remembered in between.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from agents.jobs.job import Desk, Job
from connectors.sources.sources import Sources
from streams.contracts.commands import Command, Verb
from streams.errors import CampaignError
from streams.exactly_once.crash_points import crash_point
from tables.commands.due import Due, Settled, due_campaigns, next_due, settle
from tables.database.connection import Connection

_log = logging.getLogger(__name__)


async def start_due(desk: Desk) -> Mapping[str, int]:
    """How many campaigns were started, wait for room, were missed, superseded, failed, or delayed
    by a directory service.

    A bug that one campaign trips over does not stop the others; it is raised at the end.
    """
    done: Counter[str] = Counter({"started": 0})
    full: set[str] = set()
    bug: Exception | None = None
    sources = Sources(desk.settings)
    for due in await desk.database.until_up(
        lambda connection: due_campaigns(connection, desk.settings, desk.at)
    ):
        if due.is_waiting and due.tenant_id in full:
            continue
        try:
            settled = await _settled(desk, sources, due)
        except Exception as error:  # noqa: BLE001
            bug = error
            _log.exception(
                "a scheduled campaign could not be started because of a bug",
                extra={"campaignId": str(due.id)},
            )
            continue
        done[settled.outcome if settled else "delayed"] += 1
        if settled and settled.outcome == "waiting":
            full.add(due.tenant_id)
    await sources.close()
    if bug is not None:
        raise bug
    return done


async def _settled(desk: Desk, sources: Sources, due: Due) -> Settled | None:
    """None: it waits for a directory service that is down, or whose template cannot be used."""

    def sent(tenant: str, number: int) -> int:
        return desk.stats.campaign(number).total.sent

    async def work(connection: Connection) -> Settled:
        settled = await settle(connection, desk.settings, due, desk.at, sent)
        crash_point("before-commit", "scheduler")
        return settled

    try:
        await sources.prepare(
            desk.database.until_up,
            Command(Verb.START, due.tenant_id, str(due.id), due.id, at=desk.at),
        )
    except CampaignError as error:
        said = {"campaignId": str(due.id), "error": error.detail}
        _log.warning("a scheduled campaign waits for a directory service", extra=said)
        return None
    settled = await desk.database.until_up(work)
    crash_point("after-commit", "scheduler")
    settled.log()
    return settled


SCHEDULER = Job(every=lambda settings: settings.scheduler_interval, run=start_due, due=next_due)
