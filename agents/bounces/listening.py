"""Bounces by SMTP, on CAMPAIGNS_BOUNCE_PORT of every worker of the role `deliver`."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AsyncExitStack

from agents.bounces.taking import Taking
from connectors.bounces.listener import listening
from connectors.bounces.verp import parts
from connectors.routes.login import host_name
from streams.process.mover import TurnByTurn
from streams.process.reports import Reports
from streams.settings import Settings
from tables.database.connection import Database
from tables.models import Route
from tables.tenants import routes

_EVERY = 5.0  # seconds between two looks at the domains of tenants
_OFF = 60.0  # seconds
_OLDEST = 600.0  # seconds: by older knowledge nothing is refused for good
_log = logging.getLogger(__name__)


class Domains:
    """The domains for bounces, and the tenants that have set each of them up: several may, and the
    message id says whose a mail is.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, frozenset[str]] = {}
        self._known_at: float | None = None

    def learn(self, found: Iterable[Route]) -> None:
        """Know these routes, and no others."""
        tenants = defaultdict[str, set[str]](set)
        for route in found:
            tenants[str(route.settings["bounces"]["domain"])].add(route.tenant_id)
        self._tenants = {domain: frozenset(some) for domain, some in tenants.items()}
        self._known_at = time.monotonic()

    @property
    def are_known(self) -> bool:
        """Whether PostgreSQL was asked not long ago."""
        return self._known_at is not None and time.monotonic() - self._known_at < _OLDEST

    def of(self, domain: str) -> frozenset[str]:
        return self._tenants.get(domain, frozenset())


class BounceListener(TurnByTurn):
    """Takes mails for as long as the process runs; its turns keep the domains up to date. A port
    that cannot be had is an error in the log, and tried again: messages are delivered meanwhile.
    """

    abstract = False

    def __init__(self, app: object, settings: Settings) -> None:
        super().__init__()
        self._settings, self._domains = settings, Domains()
        self._is_on = settings.bounce_port != 0 and settings.routes != "off"
        self._database = Database(settings, "campaigns-bounces", max_size=1)
        self._reports = Reports(settings)
        self._taking = Taking(settings, self._reports, "listener")
        self._stack = AsyncExitStack()
        self._is_listening = self._has_failed = False

    async def open(self, stack: AsyncExitStack) -> None:
        if not self._is_on:
            return
        stack.push_async_callback(self._database.close)
        await stack.enter_async_context(self._reports)
        self._stack = stack

    async def listen(self) -> bool:
        """Whether the port is listened on, from now on if it was not."""
        if self._is_listening:
            return True
        settings = self._settings
        name = settings.bounce_name or host_name(settings)
        there = (settings.bounce_host, settings.bounce_port)
        try:
            await self._stack.enter_async_context(listening(*there, name, self.judge, self.take))
        except OSError as error:
            if not self._has_failed:
                _log.error("no bounces are taken: %s port %d: %s", *there, error.strerror)
            self._has_failed = True
            return False
        self._is_listening = True
        return True

    async def turn(self) -> None:
        if self._is_on:
            await self.listen()
            self._domains.learn(await self._database.until_up(routes.with_bounces))
        await self.sleep(_EVERY if self._is_on else _OFF)

    def judge(self, message_id: str, domain: str) -> bool | None:
        """Whether a tenant with this domain has sent the message; None when it cannot be told."""
        if self._taking.is_ours(message_id, self._domains.of(domain)):
            return True
        return False if self._domains.are_known else None

    async def take(self, raw: bytes, recipient: str) -> None:
        """Keep what the mail says. Raises DependencyDownError when it is not kept."""
        named = parts(recipient)
        if named is not None:
            await self._taking.take(raw, self._domains.of(named[1]), recipient)
