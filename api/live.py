"""Server-sent events: the dashboard's overview of a tenant, and one campaign, pushed when something has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.auth import Viewer
from api.presented import Live
from tables.sql.campaigns import Campaign, get_campaign, list_campaigns
from tables.sql.database import translated

router = APIRouter(tags=["live"])

_EVERY = 0.5  # seconds between two looks; live stats are promised within 1.5 s
_SHOWN = 50  # newest campaigns on the overview
_SUMMED = ("sentCount", "deliveredCount", "openedCount", "clickedCount")


@router.get("/events", response_class=EventSourceResponse)
async def overview(request: Request, who: Viewer) -> AsyncIterable[ServerSentEvent]:
    """`campaigns`: the tenant's newest 50 campaigns with stats, progress and reasons for waiting, and totals over them."""
    live, last = Live.of(request), None
    while True:
        with translated():
            async with request.app.state.pool.acquire() as connection:
                found, _ = await list_campaigns(connection, who.tenant_id, page_size=_SHOWN)
        shown = [_with_stats(live, campaign) for campaign in found]
        totals = {name: sum(row["stats"][name] for row in shown) for name in _SUMMED}
        current = {"campaigns": shown, "totals": totals | {"rate": round(sum(row["progress"]["rate"] for row in shown))}}
        if current != last:
            yield ServerSentEvent(data=current, event="campaigns")
        last = current
        await asyncio.sleep(_EVERY)


@router.get("/campaigns/{campaign_id}/events", response_class=EventSourceResponse)
async def one(request: Request, who: Viewer, campaign_id: UUID) -> AsyncIterable[ServerSentEvent]:
    """`campaign`: the campaign with stats, progress, ETA and the reason for waiting. Ends when the campaign is deleted."""
    live, last = Live.of(request), None
    while True:
        with translated():
            async with request.app.state.pool.acquire() as connection:
                current = _with_stats(live, await get_campaign(connection, who.tenant_id, campaign_id))
        if current != last:
            yield ServerSentEvent(data=current, event="campaign")
        last = current
        await asyncio.sleep(_EVERY)


def _with_stats(live: Live, campaign: Campaign) -> dict[str, Any]:
    return live.campaign(campaign) | {"stats": live.stats(campaign)}
