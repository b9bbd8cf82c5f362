"""Watches the complaint rate of running campaigns and pauses those above the limit, before mailbox
providers shut everybody out.

The limit is that of Gmail and Yahoo for bulk senders, 0.3 % (support.google.com/a/answer/81126), of
the delivered. Every control worker looks every five seconds. Identity of a pause: the campaign and
its complaints so far. It is one SQL transaction (row, event, alert, count): killed before the
commit nothing has happened and the next look does it; killed afterwards it is done. Two at once:
the campaign's row decides.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mode import Service

from streams import metrics
from streams.exactly_once.fatal import end_process
from streams.settings import Settings
from tables.commands.complaint_pauses import Counted, Watched, pause, running
from tables.database.connection import Database
from tables.stats.views import StatsView

_EVERY = 5.0  # seconds
_log = logging.getLogger(__name__)


class Complaints(Service):  # type: ignore[misc]  # mode is untyped
    """Needs neither the app nor its partitions. Waits in place while PostgreSQL or Kafka is down.
    `stats`: a view to share.
    """

    def __init__(self, app: Any, settings: Settings, *, stats: StatsView | None = None) -> None:
        super().__init__()
        self._settings, self._stats = settings, StatsView(settings) if stats is None else stats
        self._database = Database(settings, "campaigns-complaints", max_size=1)
        self._running: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        self._running = self.add_future(self._run())

    async def on_stop(self) -> None:
        """Let the look end."""
        if self._running is not None:
            await asyncio.wait([self._running], timeout=5)
        await self._database.close()

    async def _run(self) -> None:
        try:
            async with self._stats:
                while not self.should_stop:
                    if self._stats.ready.is_set():
                        await self.look()
                    await self.sleep(_EVERY)
        except Exception as error:  # noqa: BLE001  # nobody would watch any more
            end_process(error)

    async def look(self) -> int:
        """Pause what has to be; answers how many. A bug that one campaign trips over stops neither
        the others nor the worker.
        """
        paused = 0
        for watched in await self._database.until_up(running):
            total = self._stats.campaign(watched.number).total
            now = Counted(total.delivered, total.complained)
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

    def _is_too_many(self, counted: Counted) -> bool:
        return counted.is_too_many(
            self._settings.complaint_rate_limit, self._settings.complaint_min_delivered
        )

    async def _pause(self, watched: Watched, now: Counted, sent: int) -> bool:
        at, so_far = datetime.now(UTC), {watched.number: sent}
        work = partial(pause, settings=self._settings, watched=watched, now=now, at=at, sent=so_far)
        answer = await self._database.until_up(lambda connection: work(connection))
        for change in answer.changes:
            change.log()
        if answer.refusal is None:
            metrics.COMPLAINT_PAUSES.inc()
            fields = {
                "tenantId": watched.tenant_id,
                "campaignId": str(watched.id),
                "delivered": now.delivered,
                "complained": now.complained,
            }
            _log.warning("a campaign is paused: too many people complain", extra=fields)
        return answer.refusal is None
