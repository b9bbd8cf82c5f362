"""The housekeeping of PostgreSQL: what will be needed is made ahead, and what nobody needs any more
is removed (docs/operate/retention.md has the times).

A service of every control worker; an advisory lock lets one of them work at a time. Identity: each
statement is about rows that are over, or about a block by its number, so a repeat finds nothing to
do. Each is a transaction of its own, on a connection of its own: killed before its commit, nothing
of it has happened, and the next round does it. Nothing waits for the service, and a lock that
somebody holds puts it off to the next round.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from streams import metrics
from streams.errors import DependencyDownError
from streams.process.mover import TurnByTurn
from streams.settings import Settings
from tables.audience import blocks
from tables.commands import removal
from tables.database import job_runs, retention
from tables.database.connection import Database, Session
from tables.database.driver import DriverConnection
from tables.database.failures import translated

_EVERY = 60.0  # seconds
_BLOCKS = 3  # of the ledger, made in one round
_ROWS = 10_000  # removed by one statement
_STATEMENTS = 20  # of each kind in a round
_REMOVALS = 100  # statements of a round that remove a tenant
_NEVER = datetime.min.replace(tzinfo=UTC)
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Housekeeping(TurnByTurn):
    """PostgreSQL may be away: then the round is left out."""

    abstract = False

    def __init__(self, app: Any, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._database = Database(settings, "campaigns-housekeeping", max_size=1)
        self._rules: tuple[retention.Rule, ...] = retention.RULES
        if settings.audit_retention:
            self._rules += (retention.of_audit_log(settings.audit_retention),)
        self._tidied: dict[str, datetime] = {}

    async def open(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._database.close)

    async def turn(self) -> None:
        """A round, if no other process has one, and the pause after it."""
        try:
            async with job_runs.turn(self._settings, "housekeeping") as is_ours:
                if is_ours:
                    await self.round()
        except DependencyDownError:
            _log.debug("a round of housekeeping is left out", exc_info=True)
        await self.sleep(_EVERY)

    async def round(self) -> None:
        """Everything that is due now. Raises DependencyDownError when PostgreSQL is away."""
        for _ in range(_BLOCKS):
            if not await self._attempt("a block of the ledger is made", blocks.make_ahead):
                break
        now = datetime.now(UTC)
        for rule in self._rules:
            if now - self._tidied.get(rule.table, _NEVER) < rule.every:
                continue
            self._tidied[rule.table] = now
            remove = partial(rule.remove, now=now, limit=_ROWS)
            for _ in range(_STATEMENTS):
                removed = await self._attempt(f"{rule.table} is tidied", remove) or 0
                metrics.REMOVED_ROWS.labels(rule.table).inc(removed)
                if removed < _ROWS or self.should_stop:
                    break
        await self._remove_tenant(now)
        if self._settings.ledger_retention:
            await self._drop_block(now - self._settings.ledger_retention)

    async def _remove_tenant(self, now: datetime) -> None:
        """A part of the tenant whose deletion is due, and its own row in a round that found nothing
        else of it: what was under way when its keys went has ended by then.
        """
        if (tenant := await self._database.once(removal.next_doomed)) is None:
            return
        what, removed = "a tenant is removed", 0
        remove = partial(
            removal.step, settings=self._settings, tenant_id=tenant, at=now, limit=_ROWS
        )
        for _ in range(_REMOVALS):
            if self.should_stop or (done := await self._attempt(what, remove)) is None:
                return
            if done.table:
                metrics.REMOVED_ROWS.labels(done.table).inc(done.count)
            removed += done.count
            if not done.count or done.is_cancelling:
                break
        finish = partial(removal.finish, tenant_id=tenant, limit=_ROWS)
        if not removed and await self._attempt(what, finish):
            _log.warning("a tenant was removed", extra={"tenantId": tenant})

    async def _attempt(self, what: str, work: Callable[[Session], Awaitable[T]]) -> T | None:
        """The answer of the work; None when it has to wait for a lock."""
        try:
            return await self._database.once(work)
        except DependencyDownError as error:
            _log.warning("%s later: PostgreSQL is away or busy", what, exc_info=error)
            return None

    async def _drop_block(self, before: datetime) -> None:
        """Drop the oldest block that is over since `before`, one a round."""
        old = await self._database.once(partial(blocks.oldest_over, before=before))
        if old is None:
            return
        with translated():
            connection = await DriverConnection.open(
                self._settings.postgres, application_name="campaigns-ledger", autocommit=True
            )
            try:
                await blocks.drop(connection, old)
            finally:
                await connection.close()
        _log.warning("an old block of the ledger was dropped", extra={"block": old.name})
