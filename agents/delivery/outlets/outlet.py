"""One route of a tenant as this worker uses it: how much it may be asked to take, and the hand-off
of a message by the way that leads to its provider.

A worker has its share of a route's connections and of its limit per second: that of the partitions
that it owns, one connection at least.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Protocol
from zlib import crc32

from agents.delivery.outlets.calls import Calls
from agents.delivery.outlets.pacing import Breaker, Budget, Pace, Way
from agents.delivery.outlets.sessions import Sessions
from agents.delivery.outlets.settling import Answered, Terms
from connectors.delivery.classification import Verdict
from streams import metrics
from streams.contracts.routes import HttpRoute, RouteSettings, SmtpRoute
from streams.records.messages import Message
from streams.settings import Settings
from tables.tenants.route_usage import Reserved, Window
from tables.tenants.routes import Credentials

_LOOK_AGAIN = 1.0  # seconds between two looks, while a limit is reached
_log = logging.getLogger(__name__)


class Transport(Protocol):
    """The connections to a provider. `in_each`: so many messages may be on their way in each of
    them. `faults`: these verdicts are about the route, and open its breaker. `window`: so long
    after a message was made a repeat of its hand-off does no harm; None: it always may.
    """

    @property
    def in_each(self) -> int: ...
    @property
    def faults(self) -> frozenset[Verdict]: ...
    @property
    def window(self) -> timedelta | None: ...

    def share(self, connections: int) -> None:
        """Use so many connections at most."""

    async def hand_off(self, message: Message, may_begin: Callable[[], bool]) -> Answered:
        """As `Outlet.hand_off`."""

    def rest(self) -> None:
        """End connections that nothing has gone through for a while."""

    def cut(self) -> None:
        """Drop all connections for good: each message that is on its way has its answer now."""

    async def close(self, patience: timedelta) -> None:
        """End all connections once what is on its way there was answered; drop what takes
        longer.
        """


class Outlet:
    """The route `name` of a tenant, with the settings that it had at `stamp`."""

    def __init__(
        self,
        settings: Settings,
        label: str,
        route: RouteSettings,
        credentials: Credentials | None,
        stamp: datetime,
    ) -> None:
        """`label` names the route in logs and metrics: tenant/name."""
        self.label, self.route, self.stamp = label, route, stamp
        tenant, _, name = label.rpartition("/")
        self.key, self.mark = (tenant, name), mark_of(label)
        self._transport = _transport(settings, route, credentials)
        self.terms = Terms.of(route, settings.hour, self._transport.window)
        self.is_paused = False
        self.flying = 0
        self._settings = settings
        self._breaker, self._is_cut = Breaker(), False
        self._down_until: datetime | None = None
        limits = route.limits
        self.is_limited = bool(limits.per_hour or limits.per_day or route.warmup)
        self.budget, self._limited = Budget(), Way()
        self._given: Reserved | None = None
        self._hungry: dict[Callable[[], None], None] = {}
        # What cannot be mended by waiting is looked at again every quarter of an hour.
        self._long_pause = (settings.hour / 4).total_seconds()
        self.share(1.0)

    def share(self, part: float) -> None:
        """Take this part of what the route takes."""
        limits = self.route.limits
        self._connections = max(1, int(limits.connections * part))
        rate = limits.per_second
        self._pace = Pace(rate * part if rate else None)
        self._transport.share(self._connections)

    @property
    def way(self) -> Way:
        """Why it takes no messages now, if so."""
        if self.is_paused:
            return Way("route-down")
        if self._breaker.is_open():
            return Way("route-down", self._down_until)
        return self._limited

    @property
    def steps_aside(self) -> bool:
        """Whether others take its messages meanwhile."""
        reason, warmup = self.way.reason, self.route.warmup
        is_over = reason == "warming-up" and warmup is not None and warmup.overflow == "next"
        return reason == "route-down" or is_over

    def windows(self, at: datetime) -> list[Window]:
        """The limits per hour and day that hold at this time."""
        limits, warmup = self.route.limits, self.route.warmup
        hourly = [limits.per_hour, None if warmup is None else warmup.per_hour_at(at)]
        found = [(self._settings.hour, limit) for limit in hourly] + [
            (self._settings.day, limits.per_day)
        ]
        return [Window(length, limit) for length, limit in found if limit is not None]

    def unused(self) -> Reserved | None:
        """The rest of the last reservation, which is not used any more."""
        left, self.budget.left = self.budget.left, 0
        return replace(self._given, messages=left) if left and self._given is not None else None

    def inherit(self, before: Outlet) -> None:
        """Go on with what was reserved for the route with its former settings."""
        self.budget, self._given = before.budget, before._given
        before.budget = Budget()

    def reserved(self, given: Reserved, asked_at: float, lasts: timedelta) -> None:
        """Take what was reserved when it was asked for at this time of `monotonic`."""
        self._given, self._limited = given, Way()
        self.budget.renew(given.messages, asked_at + lasts.total_seconds())
        if given.until is not None:
            limits, warmup = self.route.limits, self.route.warmup
            cap = None if warmup is None else warmup.per_hour_at(given.at)
            is_warming = cap is not None and (limits.per_hour is None or cap < limits.per_hour)
            self._limited = Way("warming-up" if is_warming else "route-limit", given.until)
            self.budget.rest(asked_at + _LOOK_AGAIN)

    def room(self, wake: Callable[[], None], freed: int = 0) -> int:
        """How many messages may be handed over by the transaction that settles `freed` others.
        `wake` is called once, when there may be more again.
        """
        now, most = time.monotonic(), self._connections * self._transport.in_each
        allowed = 0 if self.is_paused else self._breaker.most(now, most)
        if (left := allowed - (self.flying - freed)) <= 0:
            self._hungry[wake] = None
        room = self._pace.room(now, max(0, left))
        return self.budget.room(now, room) if room and self.is_limited else room

    def take(self) -> float:
        """One of `room` goes: `hand_off` follows, before the time of `monotonic` that is the
        answer, and `landed` when its outcome is committed.
        """
        self.flying += 1
        self._pace.took(time.monotonic(), 1)
        if not self.is_limited:
            return inf
        self.budget.took(1)
        return self.budget.expires

    def landed(self, count: int) -> None:
        """So many are no longer in flight by the journal: others may go, of any lane."""
        self.flying -= count
        for wake in list(self._hungry)[:count]:
            del self._hungry[wake]
            wake()

    async def hand_off(self, message: Message, may_begin: Callable[[], bool]) -> Answered:
        """Give the message to the provider, and say what became of it. Nothing is sent when
        `may_begin` says no at the last moment. Raises no error of the provider or of the message.
        """
        answer = await self._transport.hand_off(message, may_begin)
        if answer.tells_of_route:
            metrics.HANDED_OFF.labels(self.label, answer.verdict.name.lower()).inc()
            if not self._is_cut:
                self._judge(answer)
        return answer

    def _judge(self, answer: Answered) -> None:
        """Move the breaker."""
        extra = {"route": self.label, "reason": answer.reason}
        if answer.verdict not in self._transport.faults:
            if answer.verdict is not Verdict.DOUBT and self._breaker.succeeded():
                metrics.ROUTE_DOWN.labels(self.label).set(0)
                _log.info("a route takes messages again", extra=extra)
            return
        is_wrong = answer.verdict is Verdict.CONFIGURATION
        pause = max(self._long_pause if is_wrong else 0.0, answer.pause.total_seconds())
        was_open = self._breaker.is_open()
        now = time.monotonic()
        if self._breaker.failed(now, pause):
            self._down_until = datetime.now(UTC) + timedelta(seconds=self._breaker.until - now)
            metrics.ROUTE_DOWN.labels(self.label).set(1)
            if is_wrong:
                _log.error("a route has to be put right before it takes messages", extra=extra)
            elif not was_open:
                _log.warning("a route takes no messages now", extra=extra)

    def rest(self) -> None:
        """End connections that nothing has gone through for a while."""
        self._transport.rest()

    def cut(self) -> None:
        """Drop all connections for good: each message that is on its way has its answer now."""
        self._is_cut = True
        self._transport.cut()

    async def close(self, patience: timedelta = timedelta(seconds=2)) -> None:
        """Say goodbye everywhere, and drop what takes longer."""
        metrics.ROUTE_DOWN.labels(self.label).set(0)
        await self._transport.close(patience)


def mark_of(label: str) -> int:
    """The number that stands for a route in the journal; not 0."""
    return crc32(label.encode()) or 1


def _transport(
    settings: Settings, route: RouteSettings, credentials: Credentials | None
) -> Transport:
    if isinstance(route, SmtpRoute):
        return Sessions(settings, route, credentials)
    assert isinstance(route, HttpRoute) and credentials is not None, route.provider
    return Calls(settings, route, credentials)
