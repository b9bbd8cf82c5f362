"""One route of a tenant as this worker uses it: its sessions, how much it may be asked to take, and
the hand-off of a message.

A worker has its share of a route's connections and of its limit per second: that of the partitions
that it owns, one connection at least. Two messages are on their way in a session at most, so a kill
leaves at most twice as many in doubt as there are connections.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from zlib import crc32

from agents.delivery.feedback import Way
from agents.delivery.pacing import Breaker, Budget, Pace
from agents.delivery.settling import Answered, Terms
from connectors.bounces.verp import return_path
from connectors.delivery import classification
from connectors.delivery.classification import Verdict
from connectors.delivery.mime import UnsendableError, compose
from connectors.delivery.outcomes import InDoubt, NotTried
from connectors.delivery.smtp.connection import SessionError
from connectors.delivery.smtp.logins import Login
from connectors.delivery.smtp.opening import Relay, open_session
from connectors.delivery.smtp.session import Patience, Session
from connectors.routes.destinations import NoWayError, destinations
from connectors.routes.login import own_name, tls_context
from connectors.webhooks.delivery import reason
from streams import metrics
from streams.contracts.routes import RouteSettings
from streams.records.messages import Message
from streams.settings import Settings
from tables.tenants.route_usage import Reserved, Window
from tables.tenants.routes import Credentials

_IN_SESSION = 2  # messages on their way: one is answered for while the next one's begin is asked
_IDLE = 20.0  # seconds after which a session is ended, before the server does
_PATIENCE = Patience(connect=10, greeting=60, command=60)  # each reply, in seconds
# Words of a server about the route, none of a recipient: these verdicts open the breaker.
_OF_ROUTE = frozenset({Verdict.ROUTE, Verdict.THROTTLED, Verdict.CONFIGURATION})
_LOOK_AGAIN = 1.0  # seconds between two looks, while a limit is reached
_CUT = "this side closed the connection"
_log = logging.getLogger(__name__)


class _Place:
    """A connection's place: the session in it, and how many messages are on their way there."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.on_their_way = self.handed = 0
        self.used_at = 0.0
        self.lock = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self.session is not None and self.session.is_open


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
        self.key = tenant, name
        self.mark = mark_of(label)
        self.terms = Terms.of(route, settings.hour)
        self.is_paused = False
        self.flying = 0
        self._settings, self._credentials = settings, credentials
        self._breaker, self._places = Breaker(), list[_Place]()
        self._closing = set[asyncio.Task[None]]()
        self._opening: dict[_Place, asyncio.Task[Session]] = {}
        self._is_cut = False
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
        while len(self._places) < self._connections:
            self._places.append(_Place())

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
        now, most = time.monotonic(), self._connections * _IN_SESSION
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
        """Give the message to the relay, and say what became of it. Nothing is sent when
        `may_begin` says no at the last moment. Raises no error of the relay or of the message.
        """
        place = min(
            self._places[: self._connections],
            key=lambda one: (one.on_their_way, not one.is_open),
        )
        place.on_their_way += 1
        try:
            while True:
                is_fresh = not place.is_open
                session = await self._session(place)
                if not may_begin():
                    return Answered(Verdict.ROUTE, "it was too late to begin", is_of_message=False)
                try:
                    back = return_path(self.route.bounces, message.message_id)
                    mail = compose(message, back, in_ascii=not session.offers("8BITMIME"))
                except (UnsendableError, ValueError) as error:
                    return _answered(Verdict.CONTENT, str(error))
                place.handed += 1
                outcome = await session.hand_off(mail)
                # a server may end a session that it finds too old or too busy
                if is_fresh or not isinstance(outcome, NotTried):
                    break
        except SessionError as error:
            return self._of_route(classification.of_session(error.reply), str(error))
        except NoWayError as error:
            return self._of_route(Verdict.ROUTE, f"{self.route.host} {error}")
        except ValueError:  # its text may quote the secret
            return self._of_route(Verdict.CONFIGURATION, "the username or password cannot be sent")
        finally:
            place.on_their_way -= 1
            place.used_at = time.monotonic()
        verdict = classification.of_outcome(outcome)
        if verdict is Verdict.PROTOCOL:
            self._end(place)
        if isinstance(outcome, NotTried | InDoubt):
            return self._of_route(verdict, outcome.reason)
        return self._noted(_answered(verdict, str(outcome.reply)))

    def _of_route(self, verdict: Verdict, words: str) -> Answered:
        return self._noted(replace(_answered(verdict, words), is_of_message=False))

    def _noted(self, answer: Answered) -> Answered:
        metrics.HANDED_OFF.labels(self.label, answer.verdict.name.lower()).inc()
        if not self._is_cut:
            self._judge(answer)
        return answer

    def _judge(self, answer: Answered) -> None:
        """Move the breaker: it says nothing of a message whose fate is in doubt."""
        extra = {"route": self.label, "reason": answer.reason}
        if answer.verdict not in _OF_ROUTE:
            if answer.verdict is not Verdict.DOUBT and self._breaker.succeeded():
                metrics.ROUTE_DOWN.labels(self.label).set(0)
                _log.info("a route takes messages again", extra=extra)
            return
        is_wrong = answer.verdict is Verdict.CONFIGURATION
        was_open = self._breaker.is_open()
        now = time.monotonic()
        if self._breaker.failed(now, self._long_pause if is_wrong else 0.0):
            self._down_until = datetime.now(UTC) + timedelta(seconds=self._breaker.until - now)
            metrics.ROUTE_DOWN.labels(self.label).set(1)
            if is_wrong:
                _log.error("a route has to be put right before it takes messages", extra=extra)
            elif not was_open:
                _log.warning("a route takes no messages now", extra=extra)

    async def _session(self, place: _Place) -> Session:
        """The open session of a place. Raises SessionError, NoWayError and ValueError."""
        async with place.lock:
            if place.handed >= self.route.limits.messages_per_connection:
                self._end(place)
            session = place.session
            if session is None or not session.is_open:
                if self._is_cut:
                    raise SessionError(_CUT)
                opening = self._opening[place] = asyncio.create_task(self._opened())
                try:
                    session = place.session = await opening
                except asyncio.CancelledError:
                    if opening.cancelled() and self._is_cut:
                        raise SessionError(_CUT) from None
                    opening.cancel()
                    raise
                finally:
                    del self._opening[place]
                place.handed = 0
            return session

    async def _opened(self) -> Session:
        route, given = self.route, self._credentials
        relay = Relay(
            host=route.host,
            port=route.port,
            name=own_name(self._settings),
            tls="implicit" if route.tls == "tls" else route.tls,
            login=None if given is None else Login(given.username, given.password),
            context=tls_context(self._settings),
            patience=_PATIENCE,
        )
        found = await destinations(self._settings, route)
        for destination in found[:-1]:
            try:
                return await open_session(replace(relay, address=destination.address))
            except SessionError as error:
                if error.reply is not None:  # it was reached, and says no
                    raise
        return await open_session(replace(relay, address=found[-1].address))

    def _end(self, place: _Place) -> None:
        """Say goodbye in a session, once what is on its way there was answered."""
        session, place.session = place.session, None
        if session is not None:
            task = asyncio.create_task(session.quit())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def rest(self) -> None:
        """End sessions that nothing has gone through for a while."""
        before = time.monotonic() - _IDLE
        for place in self._places:
            if not place.on_their_way and place.used_at < before:
                self._end(place)

    def cut(self) -> None:
        """Drop all connections for good: each message that is on its way has its answer now."""
        self._is_cut = True
        for opening in self._opening.values():
            opening.cancel()
        for place in self._places:
            if place.session is not None:
                place.session.abort()

    async def close(self, patience: timedelta = timedelta(seconds=2)) -> None:
        """Say goodbye everywhere, and drop what takes longer."""
        metrics.ROUTE_DOWN.labels(self.label).set(0)
        for place in self._places:
            self._end(place)
        if self._closing:
            await asyncio.wait(self._closing, timeout=patience.total_seconds())
        for task in self._closing:
            task.cancel()


def mark_of(label: str) -> int:
    """The number that stands for a route in the journal; not 0."""
    return crc32(label.encode()) or 1


def _answered(verdict: Verdict, words: str) -> Answered:
    """The answer with words that name no address."""
    return Answered(verdict, reason(words) or verdict.value)
