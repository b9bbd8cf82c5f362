"""A mail that came back, kept: read, verified, and its event acknowledged by Kafka.

Identity of an event: its message id and kind, which everything downstream counts once. So a mail
that is taken twice, because its sender or another worker did not hear that it was kept, changes
nothing. The projection suppresses from the events, seconds later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

from connectors.bounces.events import meaning, owned
from connectors.bounces.reports import Kind, read
from streams import metrics
from streams.contracts.envelope import rfc3339
from streams.exactly_once.crash_points import crash_point
from streams.process.reports import Reports
from streams.records.message_id import MessageIds
from streams.records.reported_events import SAYING_NO, Incoming
from streams.settings import Settings

Way = Literal["listener", "mailbox"]
_WORDS = {Kind.DELAY: "delay", Kind.AUTO_REPLY: "auto-reply", Kind.NOTHING: "nothing"}
_log = logging.getLogger(__name__)


class Taking:
    """Takes mails of one way in."""

    def __init__(self, settings: Settings, reports: Reports, way: Way) -> None:
        self._ids, self._reports, self._way = MessageIds.of(settings), reports, way

    def is_ours(self, message_id: str, tenants: Collection[str]) -> bool:
        """Whether the id is one that was made for one of these tenants."""
        return self._ids.owner(message_id, tenants) is not None

    async def take(self, raw: bytes, tenants: Collection[str], recipient: str = "") -> bool:
        """Keep what the mail says about a message of these tenants, if it says anything. False: it
        is a person's no that could not be used, and somebody should look at the mail.

        Raises DependencyDownError when it is not kept: the mail has to come again.
        """
        report = await asyncio.to_thread(read, raw, recipient)  # up to 0.3 s for what means harm
        meant = meaning(report)
        if meant is None:
            self._count(_WORDS.get(report.kind, "nothing"))
            return True
        mine = owned(report, self._ids, tenants)
        if mine is None:
            self._count("foreign")
            return not self._is_unheard(meant.type in SAYING_NO, tenants)
        now = rfc3339(datetime.now(UTC))
        event = Incoming(meant.type, mine.message_id, mine.tenant_id, now, meant.details)
        await self._reports.send_all([event])
        crash_point("reported", "bounces")
        self._count(meant.type)
        return True

    def _is_unheard(self, says_no: bool, tenants: Collection[str]) -> bool:
        if says_no:
            metrics.UNHEARD.labels(self._way).inc()
            _log.error(
                "a complaint that came by mail is about no known message: see the mailbox",
                extra={"tenantId": ", ".join(sorted(tenants)), "way": self._way},
            )
        return says_no

    def _count(self, outcome: str) -> None:
        metrics.MAILS_BACK.labels(self._way, outcome).inc()
