"""No sliding hour or day has more messages than a route allows, however many workers reserve."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from tables.database.connection import Database
from tables.tenants.route_usage import Reserved, Window, reserve, room_at
from tables.tenants.tenants import create_tenant

_SLOT = timedelta(minutes=1)
_HOUR, _DAY = timedelta(hours=1), timedelta(hours=5)
_START = datetime(2026, 1, 28, 9, tzinfo=UTC)


@given(
    st.lists(st.tuples(st.integers(0, 4_000), st.integers(1, 60), st.floats(0, 0.999)), max_size=80)
)
def test_whatever_is_reserved_and_whenever_it_is_used_no_period_has_more(
    asked: list[tuple[int, int, float]],
) -> None:
    """A reservation is used at any time within a slot."""
    windows = [Window(_HOUR, 100), Window(_DAY, 250)]
    now, used, sent = _START, dict[datetime, int](), list[tuple[datetime, int]]()
    for seconds, wanted, later in asked:
        now += timedelta(seconds=seconds)
        room, until = room_at(now, used, windows, _SLOT)
        if taken := min(room, wanted):
            at = now.replace(second=0, microsecond=0)
            used[at] = used.get(at, 0) + taken
            sent.append((now + later * _SLOT, taken))
        else:
            assert until > now
            assert room_at(until, used, windows, _SLOT)[0] > 0
            assert room_at(until - timedelta(microseconds=1), used, windows, _SLOT)[0] == 0
    for window in windows:
        for last, _ in sent:
            within = (count for at, count in sent if last - window.length < at <= last)
            assert sum(within) <= window.limit


async def test_workers_that_reserve_at_once_get_the_limit_together(pool: Database) -> None:
    async with pool.transaction() as session:
        await create_tenant(session, "acme")
    of_hour = [Window(_HOUR, 50), Window(_DAY, 1_000)]
    asking = partial(reserve, tenant="acme", route="relay", windows=of_hour, wanted=9, slot=_SLOT)
    answers = await asyncio.gather(*(pool.once(asking) for _ in range(8)))
    assert sorted(each.messages for each in answers) == [0, 0, 5, 9, 9, 9, 9, 9]
    refused = next(each for each in answers if not each.messages)
    assert refused.until is not None
    assert _HOUR <= refused.until - refused.at <= _HOUR + 2 * _SLOT
    # another route has limits of its own
    other = partial(asking, route="other")
    assert (await pool.once(other)).messages == 9


async def test_what_is_given_back_can_be_reserved_again(pool: Database) -> None:
    async with pool.transaction() as session:
        await create_tenant(session, "acme")
    asking = partial(reserve, tenant="acme", route="relay", windows=[Window(_HOUR, 10)], slot=_SLOT)
    first = await pool.once(partial(asking, wanted=10))
    assert (await pool.once(partial(asking, wanted=10))).messages == 0
    unused = Reserved(first.at, 4)
    assert (await pool.once(partial(asking, wanted=10, unused=unused))).messages == 4
