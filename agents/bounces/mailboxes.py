"""Bounces by IMAP, from the mailboxes that routes name.

All workers of the role `deliver` take turns, by an advisory lock. It is courtesy: two that read the
same mailbox report the same events, which count once. Order: the event is in Kafka, then the mail
is marked as read, then it is moved. A kill -9 between them leaves a mail unread that is reported
once more, or one that is read and not moved.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial

from agents.bounces.taking import Taking
from connectors.bounces.mailbox import MailboxError, visit
from streams.contracts.routes import bounces_of
from streams.errors import DependencyDownError
from streams.process.mover import TurnByTurn
from streams.process.reports import Reports
from streams.settings import Settings
from tables.database import job_runs
from tables.database.connection import Database
from tables.models import Route
from tables.tenants import routes
from tables.tenants.seals import SealError

_AT_ONCE = 8  # mailboxes
_LONGEST = 300.0  # seconds with one of them; what is left is read in the next round
_log = logging.getLogger(__name__)


class BounceMailboxes(TurnByTurn):
    """One round every CAMPAIGNS_BOUNCE_INTERVAL. A mailbox that cannot be read holds up no other;
    that is logged once.
    """

    abstract = False

    def __init__(self, app: object, settings: Settings) -> None:
        super().__init__()
        self._settings, self._seal = settings, routes.sealing(settings)
        self._database = Database(settings, "campaigns-mailboxes", max_size=1)
        self._reports = Reports(settings)
        self._taking = Taking(settings, self._reports, "mailbox")
        self._failing = set[str]()

    async def open(self, stack: AsyncExitStack) -> None:
        if self._settings.routes != "off":
            stack.push_async_callback(self._database.close)
            await stack.enter_async_context(self._reports)

    async def turn(self) -> None:
        """A round, if no other process has one, and the pause after it."""
        if self._settings.routes != "off":
            try:
                async with job_runs.turn(self._settings, "bounces") as is_ours:
                    if is_ours:
                        await self.round()
            except DependencyDownError:
                _log.debug("a round of mailboxes is left out", exc_info=True)
        await self.sleep(self._settings.bounce_interval.total_seconds())

    async def round(self) -> None:
        """Every mailbox once. Raises DependencyDownError when PostgreSQL is away."""
        found = await self._database.once(routes.with_bounces)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def in_turn(route: Route) -> None:
            async with turns:
                await self._visit(route)

        await asyncio.gather(
            *(in_turn(one) for one in found if one.settings["bounces"].get("imap") is not None)
        )

    async def _visit(self, route: Route) -> None:
        label, failure = f"{route.tenant_id}/{route.name}", ""
        try:
            bounces = bounces_of(routes.settings_of(route))
            credentials = routes.opened_mailbox(self._seal, route)
            if bounces is None or bounces.imap is None or credentials is None:
                return
            take = partial(self._taking.take, tenants=(route.tenant_id,))
            async with asyncio.timeout(_LONGEST):
                await visit(self._settings, bounces.imap, credentials, take)
        except DependencyDownError:
            return  # Kafka is away: the mails are there the next time
        except MailboxError as error:
            failure = error.detail
        except TimeoutError:
            failure = f"more than {_LONGEST:g} s"
        except (SealError, ValueError) as error:
            failure = type(error).__name__
        self._tell(label, failure)

    def _tell(self, label: str, failure: str) -> None:
        """Log what is new: that a mailbox cannot be read, or that it can be again."""
        extra = {"route": label}
        if failure and label not in self._failing:
            self._failing.add(label)
            _log.warning("a mailbox of bounces cannot be read: %s", failure, extra=extra)
        elif not failure and label in self._failing:
            self._failing.discard(label)
            _log.info("a mailbox of bounces is read again", extra=extra)
