"""The limits of a route per hour and day: workers reserve messages here before they hand them over,
so the limits hold for all of them together, and through any restart.

A reservation counts from when it is made until an hour (a day) after the last moment at which it
can have been used: no sliding hour or day at the provider has more than the limit. The clock is
PostgreSQL's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from tables.database.connection import Session
from tables.models import RouteUsage

_LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended('route ' || %(tenant)s || '/' || %(route)s, 0))"""
_ADD = """
INSERT INTO route_usage (tenant_id, route, at, messages)
VALUES (%(tenant)s, %(route)s, %(at)s, %(messages)s)
    ON CONFLICT (tenant_id, route, at)
    DO UPDATE SET messages = route_usage.messages + excluded.messages"""


@dataclass(frozen=True)
class Window:
    """At most `limit` messages in any period of this length."""

    length: timedelta
    limit: int


@dataclass(frozen=True)
class Reserved:
    """So many messages may be handed over within the time that reservations last; they count in the
    slot `at`. Without any: `until` is when the first may.
    """

    at: datetime
    messages: int
    until: datetime | None = None


def slot_of(hour: timedelta) -> timedelta:
    """The time in which a reservation is used, and the length of a slot: a minute of an hour."""
    return max(hour / 60, timedelta(seconds=1))


async def reserve(
    session: Session,
    tenant: str,
    route: str,
    windows: Sequence[Window],
    wanted: int,
    slot: timedelta,
    unused: Reserved | None = None,
) -> Reserved:
    """Reserve at most `wanted` messages; `unused` ones of a former reservation are given back
    before.
    """
    key = {"tenant": tenant, "route": route}
    await session.run(_LOCK, **key)
    if unused is not None and unused.messages:
        await session.run(_ADD, **key, at=unused.at, messages=-unused.messages)
    now = await session.clock()
    longest = max(window.length for window in windows)
    found = select(RouteUsage.at, RouteUsage.messages).where(
        RouteUsage.tenant_id == tenant,
        RouteUsage.route == route,
        RouteUsage.at > now - longest - 2 * slot,
    )
    used = dict((await session.execute(found)).all())
    room, until = room_at(now, used, windows, slot)
    messages = min(wanted, room)
    at = _slot_at(now, slot)
    if messages:
        await session.run(_ADD, **key, at=at, messages=messages)
    return Reserved(at, messages, None if messages else until)


def room_at(
    now: datetime, used: dict[datetime, int], windows: Sequence[Window], slot: timedelta
) -> tuple[int, datetime]:
    """How many messages may be reserved now, and, if none, when the first may. `used`: messages by
    the slot that they were reserved in.
    """
    rooms, opens = list[int](), now
    for window in windows:
        # what was reserved in a slot is used before its end and the time that reservations last
        counting = sorted(at for at in used if at + 2 * slot > now - window.length)
        total = sum(used[at] for at in counting)
        rooms.append(max(0, window.limit - total))
        for at in counting:
            if total < window.limit:
                break
            total -= used[at]
            opens = max(opens, at + 2 * slot + window.length)
    return min(rooms), opens


def _slot_at(now: datetime, slot: timedelta) -> datetime:
    epoch = datetime.min.replace(tzinfo=now.tzinfo)
    return now - (now - epoch) % slot
