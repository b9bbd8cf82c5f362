"""Watches the complaint rate of running campaigns and pauses those above the limit, before mailbox
providers refuse the mail of every tenant.

The limit is that of Gmail and Yahoo for bulk senders, 0.3 % (support.google.com/a/answer/81126), of
the delivered. Every control worker looks every five seconds. Identity of a pause: the campaign and
its complaints so far. It is one SQL transaction (row, event, alert, count): killed before the
commit nothing has happened and the next look does it; killed afterwards it is done. Two at once:
the campaign's row decides.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from streams import metrics
from streams.process.mover import TurnByTurn
from streams.settings import Settings
from tables.commands.answers import Answer
from tables.commands.complaint_pauses import ComplaintCounts, WatchedCampaign, pause, running
from tables.database.connection import Database, Session
from tables.stats.views import StatsView

_EVERY = 5.0  # seconds
_log = logging.getLogger(__name__)


class Complaints(TurnByTurn):
    """Needs neither the app nor its partitions. Waits in place while PostgreSQL or Kafka is down.
    `stats`: a view to share.
    """

    def __init__(self, app: Any, settings: Settings, *, stats: StatsView | None = None) -> None:
        super().__init__()
        self._settings, self._stats = settings, StatsView(settings) if stats is None else stats
        self._database = Database(settings, "campaigns-complaints", max_size=1)

    async def open(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._database.close)
        await stack.enter_async_context(self._stats)

    async def turn(self) -> None:
        """A look, once the live stats have been read, and five seconds of rest."""
        if self._stats.ready.is_set():
            await self.look()
        await self.sleep(_EVERY)

    async def look(self) -> int:
        """Pause every campaign with too many complaints; returns how many were paused. A bug that
        one campaign trips over stops neither the others nor the worker.
        """
        paused = 0
        for watched in await self._database.until_up(running):
            total = self._stats.campaign(watched.number).total
            now = ComplaintCounts(total.delivered, total.complained)
            if not self._is_too_many(now.since(watched.before)):
                continue
            try:
                paused += await self._pause(watched, now, total.sent)
            except Exception:  # noqa: BLE001  # the next look tries again
                _log.exception(
                    "a campaign could not be paused for its complaints",
                    extra={"campaignId": str(watched.id)},
                )
        return paused

    def _is_too_many(self, counted: ComplaintCounts) -> bool:
        return counted.is_too_many(
            self._settings.complaint_rate_limit, self._settings.complaint_min_delivered
        )

    async def _pause(self, watched: WatchedCampaign, now: ComplaintCounts, sent: int) -> bool:
        """Whether this call has paused it: a person or another worker may have come first."""
        at = datetime.now(UTC)

        async def work(session: Session) -> Answer:
            return await pause(
                session, self._settings, watched, now, at, sent={watched.number: sent}
            )

        answer = await self._database.until_up(work)
        for change in answer.changes:
            change.log()
        if answer.refusal is not None:
            return False
        metrics.COMPLAINT_PAUSES.inc()
        fields = {
            "tenantId": watched.tenant_id,
            "campaignId": str(watched.id),
            "delivered": now.delivered,
            "complained": now.complained,
        }
        _log.warning("a campaign is paused: too many people complain", extra=fields)
        return True
