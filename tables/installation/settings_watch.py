"""A service of every process: it compares the process's settings with those of the installation
while the process runs, and looks whether PostgreSQL is still the one that it was.

It reads one row every ten seconds and writes nothing. A difference is logged once; one that would
do harm, the lack of a key that campaigns are signed with, ends the process, as does a PostgreSQL
that went back (`rounds`).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

from streams.exactly_once.fatal import RefusedError
from streams.process.mover import TurnByTurn
from streams.settings import Settings
from streams.settings.agreement import Agreement, lacking, refusals
from tables.database.connection import Database, Session
from tables.installation import installation, rounds
from tables.installation.rounds import Known

_EVERY = 10.0  # seconds
_log = logging.getLogger(__name__)


class SettingsWatch(TurnByTurn):
    """PostgreSQL may be away when the process starts; then this is the first comparison."""

    abstract = False

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__()
        self._own = Agreement.of(settings)
        self._database = Database(settings, "campaigns-settings", max_size=1)
        self._said: list[str] = []
        self._settings = settings
        self._known: Known | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._database.close)

    async def turn(self) -> None:
        """One comparison. Raises RefusedError."""
        if (found := await installation.looked_up(self._database, _look)) is not None:
            agreed, known = found
            self._check(agreed)
            await self._compare(known)
        await self.sleep(_EVERY)

    def _check(self, agreed: Agreement | None) -> None:
        if agreed is not None:
            if missing := lacking(self._own, agreed):
                raise RefusedError("; ".join(missing))
            found = refusals(self._own, agreed)
            if found and found != self._said:
                _log.error(
                    "the settings are not those of the installation: restart this process with"
                    " those that `campaigns prepare` had",
                    extra={"differences": found},
                )
            self._said = found

    async def _compare(self, now: Known | None) -> None:
        """Look at Kafka only when PostgreSQL gives a reason: its rounds fell, or a process has
        found that something is wrong. Raises RefusedError.
        """
        if now is None:
            return
        before, self._known = self._known, now
        went_back = before is not None and (
            now.installation != before.installation or now.announced < before.announced
        )
        if went_back or now.mismatch:
            sentence = await asyncio.to_thread(rounds.refusal, self._settings)
            if sentence:
                raise RefusedError(sentence)


async def _look(session: Session) -> tuple[Agreement | None, Known | None]:
    return await installation.agreed(session), await rounds.known(session)
