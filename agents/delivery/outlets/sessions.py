"""The sessions of a route to a relay, and the hand-off of a mail in one of them.

Two messages are on their way in a session at most, so a kill leaves at most twice as many in doubt
as there are connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from agents.delivery.outlets.settling import LOST, Answered
from connectors.bounces.verp import return_path
from connectors.delivery import classification
from connectors.delivery.classification import Verdict
from connectors.delivery.letters import UnsendableError
from connectors.delivery.mime import compose
from connectors.delivery.outcomes import InDoubt, NotTried
from connectors.delivery.smtp.connection import SessionError
from connectors.delivery.smtp.logins import Login
from connectors.delivery.smtp.opening import Relay, open_session
from connectors.delivery.smtp.session import Patience, Session
from connectors.routes.destinations import NoWayError, destinations
from connectors.routes.login import own_name, tls_context
from streams.contracts.routes import SmtpRoute
from streams.records.messages import Message
from streams.settings import Settings
from tables.tenants.routes import Credentials

_IN_SESSION = 2  # messages on their way: one is answered for while the next one's begin is asked
_IDLE = 20.0  # seconds after which a session is ended, before the server does
_PATIENCE = Patience(connect=10, greeting=60, command=60)  # each reply, in seconds
_CUT = "this side closed the connection"


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


class Sessions:
    """The way of messages to a relay."""

    in_each = _IN_SESSION
    #: Words of a server about the route, none of a recipient.
    faults = frozenset({Verdict.ROUTE, Verdict.THROTTLED, Verdict.CONFIGURATION})
    window: timedelta | None = None

    def __init__(
        self, settings: Settings, route: SmtpRoute, credentials: Credentials | None
    ) -> None:
        self.route, self._settings, self._credentials = route, settings, credentials
        self._connections, self._places = 0, list[_Place]()
        self._closing = set[asyncio.Task[None]]()
        self._opening: dict[_Place, asyncio.Task[Session]] = {}
        self._is_cut = False

    def share(self, connections: int) -> None:
        self._connections = connections
        while len(self._places) < connections:
            self._places.append(_Place())

    async def hand_off(self, message: Message, may_begin: Callable[[], bool]) -> Answered:
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
                    return LOST
                try:
                    back = return_path(self.route.bounces, message.message_id)
                    mail = compose(message, back, in_ascii=not session.offers("8BITMIME"))
                except (UnsendableError, ValueError) as error:
                    unsendable = Answered.of(Verdict.CONTENT, str(error))
                    return replace(unsendable, tells_of_route=False)
                place.handed += 1
                outcome = await session.hand_off(mail)
                # a server may end a session that it finds too old or too busy
                if is_fresh or not isinstance(outcome, NotTried):
                    break
        except SessionError as error:
            return _of_route(classification.of_session(error.reply), str(error))
        except NoWayError as error:
            return _of_route(Verdict.ROUTE, f"{self.route.host} {error}")
        except ValueError:  # its text may quote the secret
            return _of_route(Verdict.CONFIGURATION, "the username or password cannot be sent")
        finally:
            place.on_their_way -= 1
            place.used_at = time.monotonic()
        verdict = classification.of_outcome(outcome)
        if verdict is Verdict.PROTOCOL:
            self._end(place)
        if isinstance(outcome, NotTried | InDoubt):
            return _of_route(verdict, outcome.reason)
        return Answered.of(verdict, str(outcome.reply))

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
        before = time.monotonic() - _IDLE
        for place in self._places:
            if not place.on_their_way and place.used_at < before:
                self._end(place)

    def cut(self) -> None:
        self._is_cut = True
        for opening in self._opening.values():
            opening.cancel()
        for place in self._places:
            if place.session is not None:
                place.session.abort()

    async def close(self, patience: timedelta) -> None:
        for place in self._places:
            self._end(place)
        if self._closing:
            await asyncio.wait(self._closing, timeout=patience.total_seconds())
        for task in self._closing:
            task.cancel()


def _of_route(verdict: Verdict, words: str) -> Answered:
    return replace(Answered.of(verdict, words), is_of_message=False)
