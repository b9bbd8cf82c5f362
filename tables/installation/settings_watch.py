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
from typing import Any, NamedTuple

from streams.exactly_once.fatal import RefusedError
from streams.process.mover import TurnByTurn
from streams.settings import Settings
from streams.settings.agreement import Agreement, lacking, refusals
from tables.database.connection import Database, Session
from tables.installation import installation, rounds
from tables.installation.rounds import RoundCounts

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
        self._seen: _Seen | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._database.close)

    async def turn(self) -> None:
        """One comparison. Raises RefusedError."""
        if (found := await installation.looked_up(self._database, _look)) is not None:
            agreed, seen = found
            self._check(agreed)
            await self._compare(seen)
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

    async def _compare(self, now: _Seen | None) -> None:
        """Look at Kafka only when PostgreSQL gives a reason: this is another connection, to another
        database perhaps; its rounds fell; or a process has found that something is wrong. Raises
        RefusedError.
        """
        if now is None:
            return
        before, self._seen = self._seen, now
        if before is None or now.is_suspect_after(before):
            sentence = await asyncio.to_thread(rounds.refusal, self._settings)
            if sentence:
                raise RefusedError(sentence)


class _Seen(NamedTuple):
    known: RoundCounts
    connection: int  # the server process that answered

    def is_suspect_after(self, before: _Seen) -> bool:
        return (
            self.connection != before.connection
            or self.known.installation != before.known.installation
            or self.known.announced < before.known.announced
            or bool(self.known.mismatch)
        )


async def _look(session: Session) -> tuple[Agreement | None, _Seen | None]:
    """Nothing is seen of a database that is not prepared, or whose backup is being read in."""
    agreed, known = await installation.agreed(session), await rounds.known(session)
    if known is None:
        return agreed, None
    return agreed, _Seen(known, await session.value("SELECT pg_backend_pid()"))
