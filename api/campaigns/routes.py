"""The REST routes of campaigns: make, list, look, change, and the verbs of their lifecycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query, Response

from api.campaigns.answers import LiveSide
from api.campaigns.commands import CampaignId, Creating, Deleting, Editing, Sending
from api.campaigns.schemas import (
    CANCELLED,
    CREATE,
    DRAFT,
    REASON,
    RUNNING,
    TRIGGER,
    UPDATE,
    ShownCampaign,
    StoppedCampaign,
    Triggered,
)
from api.campaigns.schemas import Campaign as CampaignAnswer
from api.http.auth import Viewer
from api.http.dependencies import Provided, Services
from api.http.envelope import Page, Success, answers, asks, page_of, success
from api.http.json_bodies import JsonRoute
from api.http.preconditions.conditions import ToShow
from api.limits.slots import TRIGGERS, takes
from streams.contracts.bodies import CampaignCreate, CampaignUpdate, Explanation
from streams.contracts.commands import (
    Cancel,
    Create,
    Delete,
    Pause,
    Resume,
    Trigger,
    Update,
    version_tag,
)
from streams.contracts.triggers import CampaignTrigger
from tables.campaigns.campaign import get_campaign, list_campaigns
from tables.campaigns.series import Family, families
from tables.models import Campaign

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)

Why = Annotated[Explanation | None, Body(description="why, for the events and `statusReason`")]
_CHILDREN_ONLY = "only the children of this recurring campaign"


async def _existing(services: Provided, who: Viewer, campaign_id: CampaignId) -> Campaign:
    """The campaign of the path. Raises NotFoundError, also when it is another tenant's."""
    async with services.database.reading() as session:
        return await get_campaign(session, who.tenant_id, campaign_id)


Existing = Annotated[Campaign, Depends(_existing)]


async def family_of(services: Services, campaign: Campaign) -> Family | None:
    """The children of a series in sum; None for any other campaign, without asking the database."""
    if not campaign.is_series:
        return None
    return (await _families(services, [campaign]))[campaign.id]


async def _families(services: Services, found: Sequence[Campaign]) -> Mapping[UUID, Family]:
    if not any(campaign.is_series for campaign in found):
        return {}
    async with services.database.transaction() as session:
        return await families(session, found[0].tenant_id, found)


@router.post("", status_code=201, openapi_extra=asks(CREATE))
async def create(command: Creating, body: CampaignCreate) -> Success[CampaignAnswer]:
    """Create a draft. `scheduledAt` is kept but schedules nothing until the schedule verb."""
    return success(await command.campaign(Create, body))


@router.get("")
async def page(
    who: Viewer,
    services: Provided,
    live: LiveSide,
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query(alias="pageSize")] = 20,
    status: str | None = None,
    channel: str | None = None,
    search: Annotated[str | None, Query(max_length=255)] = None,
    parent_id: Annotated[UUID | None, Query(alias="parentId", description=_CHILDREN_ONLY)] = None,
) -> Page[ShownCampaign]:
    """The tenant's campaigns, newest first, with live progress."""
    async with services.database.reading() as session:
        found, total = await list_campaigns(
            session,
            who.tenant_id,
            page=page,
            page_size=page_size,
            status=status,
            channel=channel,
            search=search,
            parent_id=parent_id,
        )
    series = await _families(services, found)
    shown = [live.campaign(campaign, series.get(campaign.id)) for campaign in found]
    return page_of(shown, page, page_size, total)


@router.get("/{campaignId}")
async def one(
    services: Provided, live: LiveSide, campaign: Existing, conditions: ToShow
) -> Success[ShownCampaign]:
    """The campaign with its progress and, if it is not moving, why (`waiting`)."""
    conditions.show(version_tag(campaign.version))
    return success(live.campaign(campaign, await family_of(services, campaign)))


@router.patch(
    "/{campaignId}",
    openapi_extra=asks(UPDATE),
    responses=answers(200, {**DRAFT, **UPDATE, "version": 2}),
)
async def update(command: Editing, body: CampaignUpdate) -> Success[CampaignAnswer]:
    """Change what is given. While it runs only `throttleConfig`, `name` and `description` may
    change; the rest is 409.
    """
    return success(await command.campaign(Update, body))


@router.delete("/{campaignId}", status_code=204, response_class=Response)
async def delete(command: Deleting) -> None:
    """Hide a campaign that is not being sent; a scheduled one is cancelled first, which needs the
    role sender.
    """
    await command.carry_out(Delete)


@router.post("/{campaignId}/pause", openapi_extra=asks(REASON))
async def pause(command: Sending, body: Why = None) -> Success[StoppedCampaign]:
    """Pause: nothing more is granted; `inFlight` says how many still go out."""
    return success(await command.stopped(Pause, body))


@router.post("/{campaignId}/resume", responses=answers(200, {**RUNNING, "version": 4}))
async def resume(command: Sending, body: Why = None) -> Success[CampaignAnswer]:
    """Resume: goes on with the next recipient; none is lost or repeated."""
    return success(await command.campaign(Resume, body))


@router.post("/{campaignId}/cancel", openapi_extra=asks(REASON), responses=answers(200, CANCELLED))
async def cancel(command: Sending, body: Why = None) -> Success[StoppedCampaign]:
    """Cancel for good: `inFlight` says how many still go out."""
    return success(await command.stopped(Cancel, body))


@router.post("/{campaignId}/trigger", status_code=202, openapi_extra=asks(TRIGGER))
@takes(TRIGGERS)
async def trigger(command: Sending, body: CampaignTrigger) -> Success[Triggered]:
    """Send a running triggered campaign to these contacts, up to 10,000; the answer counts the
    refused ones by reason.

    A repeat of the trigger, known by its `Idempotency-Key`, gets the first answer, with
    `Idempotency-Replayed: true`, and sends nothing.
    """
    answer = await command.carry_out(Trigger, body)
    return success(Triggered.model_validate(answer.outcome))
