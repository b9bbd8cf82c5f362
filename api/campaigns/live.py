"""Server-sent events: the dashboard's overview of a tenant, and one campaign, pushed when something
has changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Collection, Mapping
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.campaigns.answers import Live, LiveSide
from api.campaigns.figure_schemas import CampaignWithStats, Overview, Totals
from api.campaigns.routes import Existing
from api.http.auth import Viewer, credential, known
from api.http.dependencies import Provided, Services
from api.limits.pollers import Reader, Topic
from api.limits.slots import takes
from streams.contracts.fields import CampaignType
from streams.errors import CampaignError, DependencyDownError
from tables.campaigns.campaign import get_campaigns, list_campaigns
from tables.campaigns.series import Family, families
from tables.database.connection import Database
from tables.models import Campaign
from tables.tenancy.acting import acting_for

router = APIRouter(tags=["live"])

OVERVIEW = "overview"  # the topic of a tenant's newest campaigns; the others are ids of campaigns
_SHOWN = 50  # newest campaigns on the overview


class CampaignsSeen:
    """The campaigns that the event streams of a tenant show (`pollers.Sight`)."""

    def __init__(self, database: Database, live: Live, tenant: str) -> None:
        self._database, self._live, self._tenant = database, live, tenant
        self._newest: list[Campaign] | None = None
        self._single: dict[UUID, Campaign | None] = {}
        self._families: Mapping[UUID, Family] = {}

    async def read(self, topics: Collection[Topic]) -> None:
        ids = [topic for topic in topics if isinstance(topic, UUID)]
        newest: list[Campaign] | None = None
        with acting_for(self._tenant):  # in the poller's task, and not in a request's
            async with self._database.transaction() as session:
                if OVERVIEW in topics:
                    newest, _ = await list_campaigns(session, self._tenant, page_size=_SHOWN)
                found = await get_campaigns(session, self._tenant, ids) if ids else []
                self._families = await families(session, self._tenant, [*(newest or ()), *found])
        self._newest = newest
        self._single = dict.fromkeys(ids) | {one.id: one for one in found}

    def version(self) -> object:
        live = self._live
        return live.is_ready, [
            (
                live.counts.version(*self._numbers(one)),
                live.sending.campaign(one.number),
                round(live.rates.of(one.number), 1),
                live.rates.is_stalled(one.number),
            )
            for one in [*(self._newest or ()), *self._single.values()]
            if one is not None
        ]

    def shown(self) -> Mapping[Topic, str | None]:
        """Nothing until the counts have been read from Kafka."""
        if not self._live.is_ready:
            return {}
        texts: dict[Topic, str | None] = {
            topic: None if one is None else self._with_stats(one).model_dump_json()
            for topic, one in self._single.items()
        }
        if self._newest is not None:
            seen = _overview([self._with_stats(one) for one in self._newest])
            texts[OVERVIEW] = seen.model_dump_json()
        return texts

    def _numbers(self, campaign: Campaign) -> tuple[int, ...]:
        family = self._families.get(campaign.id)
        return family.numbers if family else (campaign.number,)

    def _with_stats(self, campaign: Campaign) -> CampaignWithStats:
        family = self._families.get(campaign.id)
        shown = self._live.campaign(campaign, family)
        stats = self._live.stats(campaign, family=family)
        return CampaignWithStats.of_row(shown, stats=stats)


async def _of_tenant(services: Provided, live: LiveSide, who: Viewer) -> AsyncIterator[Reader]:
    seen = partial(CampaignsSeen, services.database, live, who.tenant_id)
    async with services.pollers.reader(who.tenant_id, who.key_id, OVERVIEW, seen) as reader:
        yield reader


async def _of_campaign(
    services: Provided, live: LiveSide, who: Viewer, campaign: Existing
) -> AsyncIterator[Reader]:
    seen = partial(CampaignsSeen, services.database, live, who.tenant_id)
    async with services.pollers.reader(who.tenant_id, who.key_id, campaign.id, seen) as reader:
        yield reader


@router.get("/events", response_class=EventSourceResponse)
@takes(None)
async def overview(
    request: Request, services: Provided, reader: Annotated[Reader, Depends(_of_tenant)]
) -> AsyncIterable[ServerSentEvent]:
    """`campaigns`: the tenant's newest 50 campaigns with stats, progress and reasons for waiting,
    and totals over them.
    """
    async for text in _texts(request, services, reader):
        yield ServerSentEvent(raw_data=text, event="campaigns")


@router.get("/campaigns/{campaignId}/events", response_class=EventSourceResponse)
@takes(None)
async def one(
    request: Request, services: Provided, reader: Annotated[Reader, Depends(_of_campaign)]
) -> AsyncIterable[ServerSentEvent]:
    """`campaign`: the campaign with stats, progress, ETA and the reason for waiting. Ends when the
    campaign is deleted.
    """
    async for text in _texts(request, services, reader):
        yield ServerSentEvent(raw_data=text, event="campaign")


def _texts(request: Request, services: Services, reader: Reader) -> AsyncIterator[str]:
    """The stream's texts until the key is not good any more or the session over, which an open
    stream does not keep alive.
    """

    async def is_good() -> bool:
        try:
            await known(request, services, is_used=False)
        except DependencyDownError:
            raise
        except CampaignError:
            return False
        return True

    given = credential(request, services.settings)
    return reader.texts(given.text if given else "", is_good)


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
