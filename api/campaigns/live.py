"""Server-sent events: the dashboard's overview of a tenant, and one campaign, pushed when something
has changed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.campaigns.answers import Live
from api.campaigns.routes import Existing
from api.http.auth import Viewer, caller
from streams.errors import DependencyDownError, NotFoundError, UnauthorizedError
from tables.campaigns.campaign import Campaign, get_campaign, list_campaigns
from tables.campaigns.series import Family, families
from tables.campaigns.times import RECURRING
from tables.database.connection import Connection
from tables.database.failures import translated

router = APIRouter(tags=["live"])

_EVERY = 0.5  # seconds between two looks; live stats are promised within 1.5 s
_CHECKED = 20  # looks between two checks that the API key has not been revoked
_SHOWN = 50  # newest campaigns on the overview
_SUMMED = ("sentCount", "deliveredCount", "openedCount", "clickedCount")
Look = Callable[[Live, Connection], Awaitable[dict[str, Any]]]


@router.get("/events", response_class=EventSourceResponse)
async def overview(request: Request, who: Viewer) -> AsyncIterable[ServerSentEvent]:
    """`campaigns`: the tenant's newest 50 campaigns with stats, progress and reasons for waiting,
    and totals over them.
    """

    async def look(live: Live, connection: Connection) -> dict[str, Any]:
        found, _ = await list_campaigns(connection, who.tenant_id, page_size=_SHOWN)
        series = await families(connection, who.tenant_id, found)
        shown = [_with_stats(live, campaign, series.get(campaign.id)) for campaign in found]
        once = [
            row for row in shown if row["type"] != RECURRING
        ]  # a series is the sum of campaigns that are there, too
        totals = {name: sum(row["stats"][name] for row in once) for name in _SUMMED}
        return {
            "campaigns": shown,
            "totals": totals | {"rate": round(sum(row["progress"]["rate"] for row in once))},
        }

    async for seen in _changes(request, look):
        yield ServerSentEvent(data=seen, event="campaigns")


@router.get("/campaigns/{campaignId}/events", response_class=EventSourceResponse)
async def one(request: Request, who: Viewer, campaign: Existing) -> AsyncIterable[ServerSentEvent]:
    """`campaign`: the campaign with stats, progress, ETA and the reason for waiting. Ends when the
    campaign is deleted.
    """

    async def look(live: Live, connection: Connection) -> dict[str, Any]:
        current = await get_campaign(connection, who.tenant_id, campaign.id)
        series = await families(connection, who.tenant_id, [current])
        return _with_stats(live, current, series.get(current.id))

    async for seen in _changes(request, look):
        yield ServerSentEvent(data=seen, event="campaign")


async def _changes(request: Request, look: Look) -> AsyncIterator[dict[str, Any]]:
    """What is seen whenever it differs from before, while the key is good and what is looked at
    exists.

    A database that is away is waited for: the reader keeps what it has, and its stream.
    """
    live, last = Live.of(request), None
    for looks in itertools.count():
        try:
            with translated():
                if looks % _CHECKED == 0:
                    await caller(request)
                async with request.app.state.pool.acquire() as connection:
                    current = await look(live, connection) if live.is_ready else last
        except DependencyDownError:
            current = last
        except (UnauthorizedError, NotFoundError):
            return
        if current is not None and current != last:
            yield current
        last = current
        await asyncio.sleep(_EVERY)


def _with_stats(live: Live, campaign: Campaign, family: Family | None) -> dict[str, Any]:
    return live.campaign(campaign, family) | {"stats": live.stats(campaign, family=family)}
