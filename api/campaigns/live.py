"""Server-sent events: the dashboard's overview of a tenant, and one campaign, pushed when something
has changed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.campaigns.answers import Live, live_of
from api.campaigns.figure_schemas import CampaignWithStats, Overview, Totals
from api.campaigns.routes import Existing
from api.http.auth import Viewer, caller
from api.http.dependencies import Provided, Services
from api.http.envelope import Schema
from streams.contracts.fields import CampaignType
from streams.errors import DependencyDownError, NotFoundError, UnauthorizedError
from tables.campaigns.campaign import get_campaign, list_campaigns
from tables.campaigns.series import Family, families
from tables.database.connection import Session
from tables.models import Campaign

router = APIRouter(tags=["live"])

_EVERY = 0.5  # seconds between two looks; live stats are promised within 1.5 s
_CHECKED = 20  # looks between two checks that the API key has not been revoked
_SHOWN = 50  # newest campaigns on the overview
S = TypeVar("S", bound=Schema)
Look = Callable[[Session], Awaitable[S]]


@router.get("/events", response_class=EventSourceResponse)
async def overview(
    request: Request, services: Provided, who: Viewer
) -> AsyncIterable[ServerSentEvent]:
    """`campaigns`: the tenant's newest 50 campaigns with stats, progress and reasons for waiting,
    and totals over them.
    """
    live = await live_of(services)

    async def look(session: Session) -> Overview:
        found, _ = await list_campaigns(session, who.tenant_id, page_size=_SHOWN)
        series = await families(session, who.tenant_id, found)
        return _overview([_with_stats(live, one, series.get(one.id)) for one in found])

    async for seen in _changes(request, services, look):
        yield ServerSentEvent(raw_data=seen.model_dump_json(), event="campaigns")


@router.get("/campaigns/{campaignId}/events", response_class=EventSourceResponse)
async def one(
    request: Request, services: Provided, who: Viewer, campaign: Existing
) -> AsyncIterable[ServerSentEvent]:
    """`campaign`: the campaign with stats, progress, ETA and the reason for waiting. Ends when the
    campaign is deleted.
    """
    live = await live_of(services)

    async def look(session: Session) -> CampaignWithStats:
        current = await get_campaign(session, who.tenant_id, campaign.id)
        series = await families(session, who.tenant_id, [current])
        return _with_stats(live, current, series.get(current.id))

    async for seen in _changes(request, services, look):
        yield ServerSentEvent(raw_data=seen.model_dump_json(), event="campaign")


async def _changes(request: Request, services: Services, look: Look[S]) -> AsyncIterator[S]:
    """Each look that differs from the one before, while the key is good and the campaign exists.

    A database that is away is waited for: the reader keeps what it has, and its stream.
    """
    live, last = await live_of(services), None
    for looks in itertools.count():
        try:
            if looks % _CHECKED == 0:
                await caller(request, services)
            async with services.database.transaction() as session:
                current = await look(session) if live.is_ready else last
        except DependencyDownError:
            current = last
        except (UnauthorizedError, NotFoundError):
            return
        if current is not None and current != last:
            yield current
        last = current
        await asyncio.sleep(_EVERY)


def _with_stats(live: Live, campaign: Campaign, family: Family | None) -> CampaignWithStats:
    shown = live.campaign(campaign, family)
    return CampaignWithStats.of_row(shown, stats=live.stats(campaign, family=family))


def _overview(campaigns: list[CampaignWithStats]) -> Overview:
    # a series is the sum of campaigns that are there, too
    counted = [one for one in campaigns if one.type != CampaignType.RECURRING]
    stats = [one.stats for one in counted]
    rate = sum(one.progress.rate for one in counted if one.progress)
    totals = Totals(
        sent_count=sum(one.sent_count for one in stats),
        delivered_count=sum(one.delivered_count for one in stats),
        opened_count=sum(one.opened_count for one in stats),
        clicked_count=sum(one.clicked_count for one in stats),
        rate=round(rate),
    )
    return Overview(campaigns=campaigns, totals=totals)
