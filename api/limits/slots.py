"""The room that one tenant has in this process: how many requests of a kind are worked on at once,
for it and for all tenants together.

A request takes its slot before it takes a connection to PostgreSQL. So requests that wait, for
their turn or for a row that another one of their tenant has locked, hold at most the slots of that
tenant, and the connections beyond these stay free for the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from starlette.requests import Request

from streams.errors import RateLimitedError

F = TypeVar("F", bound=Callable[..., Any])
_ROOM = "_room"  # the attribute of an endpoint that has a room of its own


@dataclass(frozen=True)
class Room:
    """`each` requests of one tenant are worked on at once, `every` of all tenants; `waiting` more
    of a tenant wait for their turn, `patience` at most. `work` is what a refusal calls them.
    """

    work: str
    each: int
    every: int
    waiting: int
    patience: timedelta

    def refusal(self) -> RateLimitedError:
        """The answer to a request that finds no slot in time."""
        queue = f" and {self.waiting} that wait" if self.waiting else ""
        return RateLimitedError(
            f"The limit is {self.each} {self.work} of one tenant at once{queue}"
            f" ({self.every} of all tenants); try again in a moment.",
            retry_after=5,
        )


# A read waits for nobody's lock. More at once would be no faster: one process uses one core.
READS = Room("reads", 4, 8, waiting=200, patience=timedelta(seconds=10))
# A write may wait for a row (LOCK_TIMEOUT in api/app.py).
WRITES = Room("writes", 3, 4, waiting=200, patience=timedelta(seconds=10))
# 10,000 contacts take PostgreSQL 0.3 s or more, and the triggers of a campaign follow each other.
TRIGGERS = Room("triggers", 2, 3, waiting=50, patience=timedelta(seconds=20))
# Each count of an audience takes a second of PostgreSQL and up to 512 MB there.
COUNTS = Room("counts of an audience", 1, 2, waiting=5, patience=timedelta(seconds=20))
# Checking or rendering a template takes a core for up to a second.
RENDERINGS = Room("renderings", 1, 2, waiting=20, patience=timedelta(seconds=20))
# Files that are read: each holds one of the few threads for such work, for as long as it arrives.
IMPORTS = Room("imports", 2, 3, waiting=0, patience=timedelta(0))
# A page of a file that is read away. It waits: a refusal in the middle would leave half a file.
EXPORTS = Room("pages of exports", 1, 2, waiting=50, patience=timedelta(minutes=10))
# A report takes a query or two, and some milliseconds for each hundred events.
WEBHOOKS = Room("webhooks", 2, 3, waiting=100, patience=timedelta(seconds=10))
# Name servers are asked, which may take seconds; no connection to PostgreSQL is held meanwhile.
LOOK_UPS = Room("look-ups in DNS", 2, 8, waiting=10, patience=timedelta(seconds=20))
# A relay and name servers are asked, which may take CAMPAIGNS_ROUTE_TIMEOUT; no connection to
# PostgreSQL is held meanwhile.
CHECKS = Room("checks of routes", 1, 4, waiting=5, patience=timedelta(seconds=10))

ROOMS = (
    READS,
    WRITES,
    TRIGGERS,
    COUNTS,
    RENDERINGS,
    IMPORTS,
    EXPORTS,
    WEBHOOKS,
    LOOK_UPS,
    CHECKS,
)


def takes(room: Room | None) -> Callable[[F], F]:
    """Marks an endpoint whose requests take a slot of this room, instead of one of READS or WRITES;
    None: they last long, and take none.
    """

    def marked(endpoint: F) -> F:
        setattr(endpoint, _ROOM, room)
        return endpoint

    return marked


class Slots:
    """The slots of every room. A free one goes to the tenant that has the fewest, and among these
    to the request that waits longest.
    """

    def __init__(self) -> None:
        self._places = {room.work: _Places(room) for room in ROOMS}

    def of(self, room: Room) -> _Places:
        return self._places[room.work]

    @asynccontextmanager
    async def slot(self, room: Room, tenant: str) -> AsyncIterator[None]:
        """Raises RateLimitedError when too many of the tenant's requests wait, or for too long."""
        places = self.of(room)
        await places.take(tenant)
        try:
            yield
        finally:
            places.give_back(tenant)

    @asynccontextmanager
    async def of_request(self, request: Request, tenant: str) -> AsyncIterator[None]:
        """The slot that this request needs while it is worked on."""
        is_read = request.method in ("GET", "HEAD")
        endpoint = request.scope.get("endpoint")
        room: Room | None = getattr(endpoint, _ROOM, READS if is_read else WRITES)
        if room is None:
            yield
            return
        async with self.slot(room, tenant):
            yield


class _Places:
    """The slots of one room. Tenants without a request are not remembered."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = Counter[str]()
        self._waiting = OrderedDict[str, deque[asyncio.Future[None]]]()

    @property
    def taken(self) -> int:
        """How many slots are in use."""
        return self._taken.total()

    async def take(self, tenant: str) -> None:
        if tenant not in self._waiting and self._fits(tenant):
            self._taken[tenant] += 1
            return
        queue = self._waiting.get(tenant, ())
        if len(queue) >= self._room.waiting:
            raise self._room.refusal()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        try:
            async with asyncio.timeout(self._room.patience.total_seconds()):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came in the same moment
                self.give_back(tenant)
            else:
                self._leave(tenant, turn)
            if isinstance(error, TimeoutError):
                raise self._room.refusal() from None
            raise

    def give_back(self, tenant: str) -> None:
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]
        while (next_one := self._next()) is not None:
            queue = self._waiting[next_one]
            turn = queue.popleft()
            if not queue:
                del self._waiting[next_one]
            if not turn.done():
                self._taken[next_one] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        """The tenant whose turn it is; None when no slot is free for any that waits."""
        fitting = [tenant for tenant in self._waiting if self._fits(tenant)]
        return min(fitting, key=lambda tenant: self._taken[tenant], default=None)

    def _fits(self, tenant: str) -> bool:
        return self._taken[tenant] < self._room.each and self.taken < self._room.every

    def _leave(self, tenant: str, turn: asyncio.Future[None]) -> None:
        if (queue := self._waiting.get(tenant)) is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[tenant]
