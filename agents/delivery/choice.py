"""The routes of the tenants whose messages are open in this worker, as PostgreSQL has them, and the
choice among them: by channel and sender, then the lowest priority, then the name.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from agents.delivery.outlet import Outlet
from streams.settings import Settings
from tables.database.connection import Database
from tables.models import Route
from tables.tenants import routes
from tables.tenants.seals import SealError

_EVERY = 1.0  # seconds between two looks
_OLDEST = 10.0  # seconds: with older knowledge nothing is handed over
_ANSWERED = timedelta(minutes=10)  # a server has so long to answer for a mail
_log = logging.getLogger(__name__)


class Origin(NamedTuple):
    """The sender of a message, by which its route is chosen. `sender`: the domain of From of an
    email, the sender id of others, "" without one.
    """

    tenant_id: str
    channel: str
    sender: str


class Routes:
    """Reads again every second; while PostgreSQL is down nothing is handed over."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._seal = routes.sealing(settings)
        self._outlets: dict[str, dict[str, Outlet]] = {}  # by tenant and name
        self._unusable: dict[str, datetime] = {}
        self._share, self._read_at = 1.0, 0.0
        # those that were replaced or removed, until what is on its way there is answered
        self._replaced: dict[asyncio.Task[None], Outlet] = {}

    @property
    def is_known(self) -> bool:
        """Whether PostgreSQL was asked a moment ago."""
        return not self._outlets or time.monotonic() - self._read_at < _OLDEST

    def every(self) -> Iterable[Outlet]:
        return (outlet for known in self._outlets.values() for outlet in known.values())

    def of(self, origin: Origin) -> Outlet | None:
        """The route by which such messages leave; None while there is none."""
        fitting = [
            (outlet.route.priority, name)
            for name, outlet in self._outlets.get(origin.tenant_id, {}).items()
            if outlet.route.channel == origin.channel and outlet.route.takes(origin.sender)
        ]
        return self._outlets[origin.tenant_id][min(fitting)[1]] if fitting else None

    def share(self, part: float) -> None:
        """Take this part of what each route takes."""
        self._share = part
        for outlet in self.every():
            outlet.share(part)

    async def learn(self, tenants: Collection[str]) -> None:
        """Know the routes of these tenants, too. Waits for PostgreSQL."""
        if new := set(tenants) - self._outlets.keys():
            await self._read(new)

    async def follow(self) -> None:
        """Keep what is known up to date, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            if self._outlets:
                await self._read(self._outlets.keys())
            for outlet in self.every():
                outlet.rest()

    def cut(self) -> None:
        """Drop all connections, so that whatever is on its way has its answer now, and know no
        route any more.
        """
        for outlet in [*self.every(), *self._replaced.values()]:
            outlet.cut()
        self._outlets.clear()

    async def close(self) -> None:
        """End all sessions."""
        for closing, outlet in self._replaced.items():
            outlet.cut()
            closing.cancel()
        await asyncio.gather(*(outlet.close() for outlet in self.every()))

    async def _read(self, tenants: Collection[str]) -> None:
        wanted = list(tenants)
        asked_at = time.monotonic()
        found: list[Route] = []
        if self._settings.routes != "off":
            found = await self._database.until_up(
                lambda session: routes.of_tenants(session, wanted)
            )
        by_tenant: dict[str, list[Route]] = {tenant: [] for tenant in wanted}
        for row in found:
            by_tenant[row.tenant_id].append(row)
        for tenant, rows in by_tenant.items():
            self._renew(tenant, rows)
        if set(wanted) >= self._outlets.keys():
            self._read_at = asked_at

    def _renew(self, tenant: str, rows: list[Route]) -> None:
        before = self._outlets.get(tenant, {})
        after = self._outlets[tenant] = {}
        for row in rows:
            outlet = before.get(row.name)
            if outlet is None or outlet.stamp != row.updated_at:
                outlet = self._made(row)
            if outlet is not None:
                outlet.is_paused = row.paused_at is not None
                after[row.name] = outlet
        for name, outlet in before.items():
            if after.get(name) is not outlet:
                closing = asyncio.create_task(outlet.close(_ANSWERED))
                self._replaced[closing] = outlet
                closing.add_done_callback(self._forget)

    def _forget(self, closing: asyncio.Task[None]) -> None:
        self._replaced.pop(closing, None)

    def _made(self, row: Route) -> Outlet | None:
        """None for a route that this process cannot use; that is logged."""
        label = f"{row.tenant_id}/{row.name}"
        try:
            credentials = routes.opened(self._seal, row)
            settings = routes.settings_of(row)
            outlet = Outlet(self._settings, label, settings, credentials, row.updated_at)
        except (SealError, ValueError) as error:
            if self._unusable.get(label) != row.updated_at:  # once, not with every look
                self._unusable[label] = row.updated_at
                extra = {"route": label, "error": type(error).__name__}
                _log.error("a route cannot be used: what is stored cannot be read", extra=extra)
            return None
        outlet.share(self._share)
        return outlet
