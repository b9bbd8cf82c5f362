"""The routes of the tenants whose messages are open in this worker, as PostgreSQL has them, and the
choice among them: by channel and sender, then the lowest priority, then by weight.

A message goes to the next route while the first one is down, paused, or warms up and leaves the
rest to others; never because it is busy, or has reached a limit. A route that is down takes its
probe before that. One that may have a message already, because its answer never came, is the only
one that the message is handed to.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import log
from operator import itemgetter
from typing import NamedTuple

from agents.delivery.outlets.outlet import Outlet
from agents.delivery.outlets.pacing import Way
from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database.connection import Database
from tables.models import Route
from tables.tenants import routes
from tables.tenants.route_usage import reserve, slot_of
from tables.tenants.seals import SealError

_EVERY = 1.0  # seconds between two looks
_OLDEST = 10.0  # seconds: with older knowledge nothing is handed over
_RESERVED_EVERY = 0.25  # seconds
_ANSWERED = timedelta(minutes=10)  # a server has so long to answer for a mail
_NEVER = datetime.max.replace(tzinfo=UTC)
_log = logging.getLogger(__name__)


class Sender(NamedTuple):
    """The sender of a message, by which its route is chosen. `name`: the domain of From of an
    email, the sender id of others, "" without one.
    """

    tenant_id: str
    channel: str
    name: str


def chosen(
    fitting: Sequence[Outlet], message_id: str, has_room: Callable[[Outlet], bool]
) -> Outlet | None:
    """The route that takes the message now, None where it has to wait."""
    best = None
    for outlet in _in_order(fitting, message_id) if len(fitting) > 1 else fitting:
        if best is not None and outlet.route.priority > best:
            return None
        if has_room(outlet):
            return outlet
        if not outlet.steps_aside:
            best = outlet.route.priority
    return None


def way_of(fitting: Sequence[Outlet]) -> Way:
    """Why messages cannot leave by any of these, if so, and when the first may again."""
    if not fitting:
        return Way("route-down")
    ways = [outlet.way for outlet in fitting]
    return min(ways, key=lambda way: (way.reason is not None, way.until or _NEVER))


def _in_order(fitting: Sequence[Outlet], message_id: str) -> list[Outlet]:
    """By priority; those of one priority are drawn by weight (Efraimidis, Spirakis, "Weighted
    random sampling with a reservoir", 2006), always the same for a message.
    """

    def place(outlet: Outlet) -> tuple[int, float]:
        digest = blake2b(f"{message_id} {outlet.label}".encode(), digest_size=6).digest()
        drawn = (int.from_bytes(digest) + 1) / (1 << 48)
        return outlet.route.priority, -log(drawn) / outlet.route.weight

    return sorted(fitting, key=place)


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

    def fitting(self, sender: Sender, pin: int = 0) -> list[Outlet]:
        """The routes by which such messages may leave, the lowest priority first. With a `pin` it
        is the route with this mark, whatever it is set up for now.
        """
        known = self._outlets.get(sender.tenant_id, {})
        if pin:
            return [outlet for outlet in known.values() if outlet.mark == pin]
        fitting = [
            (outlet.route.priority, name, outlet)
            for name, outlet in known.items()
            if outlet.route.channel == sender.channel and outlet.route.takes(sender.name)
        ]
        return [outlet for _, _, outlet in sorted(fitting, key=itemgetter(0, 1))]

    def share(self, part: float) -> None:
        """Take this part of what each route takes."""
        self._share = part
        for outlet in self.every():
            outlet.share(part)

    async def learn(self, tenants: Collection[str]) -> None:
        """Know the routes of these tenants, too. Waits for PostgreSQL."""
        if new := set(tenants) - self._outlets.keys():
            await self._read(new)

    async def reserve(self) -> None:
        """Keep the limits per hour and day of every route, for ever."""
        while True:
            await asyncio.sleep(_RESERVED_EVERY)
            now = time.monotonic()
            for outlet in list(self.every()):
                if outlet.is_limited and outlet.budget.is_over(now):
                    await self._reserve(outlet, outlet.budget.wanted())

    async def _reserve(self, outlet: Outlet, wanted: int) -> None:
        """Reserve so many messages, and give back those that are left. While PostgreSQL is away
        there are none.
        """
        unused, asked_at = outlet.unused(), time.monotonic()
        slot = slot_of(self._settings.hour)
        windows = outlet.windows(datetime.now(UTC))
        try:
            given = await self._database.once(
                lambda session: reserve(session, *outlet.key, windows, wanted, slot, unused)
            )
        except DependencyDownError:
            return
        outlet.reserved(given, asked_at, slot)

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
        for outlet in self.every():
            if outlet.budget.left:
                await self._reserve(outlet, 0)
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
                if outlet is not None and row.name in before:
                    outlet.inherit(before[row.name])
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
