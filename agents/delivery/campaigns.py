"""The campaigns whose messages are open in this worker: which are paused, and which are cancelled,
as PostgreSQL has them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from streams.contracts.fields import Status
from streams.records.message_id import TESTS
from tables.campaigns.campaign import stopped
from tables.database.connection import Database

_EVERY = timedelta(milliseconds=250)  # between two looks: a pause acts within a second
_OLDEST = 10.0  # seconds: with older knowledge nothing is handed over
_REMEMBERED = 60.0  # seconds after a campaign had its last message here


class Campaigns:
    """Looked at four times a second; while PostgreSQL is down nothing is handed over."""

    def __init__(self, database: Database, wanted: Callable[[], Collection[int]]) -> None:
        """`wanted` names the campaigns that have open messages in memory."""
        self._database, self._wanted = database, wanted
        self._known: dict[int, float] = {}  # number -> when it had messages last
        self._stopped: Mapping[int, Status] = {}
        self._read_at = 0.0

    @property
    def is_known(self) -> bool:
        """Whether PostgreSQL was asked a moment ago."""
        return not self._known or time.monotonic() - self._read_at < _OLDEST

    def is_paused(self, number: int) -> bool:
        """Whether its messages are to wait. True of one that was not looked at yet."""
        return number != TESTS and (
            number not in self._known or self._stopped.get(number) is Status.PAUSED
        )

    def is_cancelled(self, number: int) -> bool:
        """Whether its messages are not to go at all."""
        return self._stopped.get(number) is Status.CANCELLED

    async def follow(self) -> None:
        """Keep what is known up to date, for ever."""
        while True:
            now = time.monotonic()
            known = {number: at for number, at in self._known.items() if at > now - _REMEMBERED}
            known |= dict.fromkeys(set(self._wanted()) - {TESTS}, now)
            if known:
                self._stopped = await self._database.until_up(
                    lambda session: stopped(session, known)  # noqa: B023  # awaited here
                )
            self._known, self._read_at = known, now
            await asyncio.sleep(_EVERY.total_seconds())
