"""The REST routes of time: the schedule verb, and what a series has sent and will send."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter

from api.campaigns.answers import LiveSide
from api.campaigns.commands import Sending
from api.campaigns.routes import Existing
from api.campaigns.schemas import SCHEDULE, SCHEDULED, Campaign, Occurrence, Series
from api.http.dependencies import Transaction
from api.http.envelope import Success, answers, asks, success
from api.http.json_bodies import JsonRoute
from api.http.preconditions.conditions import ToShow
from streams.contracts.bodies import CampaignSchedule
from streams.contracts.commands import Schedule, version_tag
from streams.contracts.values.local_time import shown
from streams.errors import ConflictError
from tables.campaigns.series import newest_children, outlook

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)

_COMING = 10  # occurrences that an answer looks ahead
_CHILDREN = 20  # in an answer; `GET /campaigns?parentId=` pages through all


@router.post(
    "/{campaignId}/schedule", openapi_extra=asks(SCHEDULE), responses=answers(200, SCHEDULED)
)
async def schedule(command: Sending, body: CampaignSchedule) -> Success[Campaign]:
    """Start at `scheduledAt`, a recurring campaign from then on; scheduling again moves it.

    Without an offset it is a local time in `timezone`, else in the campaign's, else in UTC. One
    that clocks skip is the first instant after the gap, of one that exists twice the earlier. The
    past is refused.
    """
    return success(await command.campaign(Schedule, body))


@router.get("/{campaignId}/series", responses={409: {"description": "It is no recurring campaign"}})
async def series(
    campaign: Existing, live: LiveSide, transaction: Transaction, conditions: ToShow
) -> Success[Series]:
    """A recurring campaign's next 10 occurrences and newest 20 children; `GET /campaigns?parentId=`
    pages through all of them.
    """
    schedule = campaign.recurring_schedule
    if not campaign.is_series or schedule is None:
        raise ConflictError(
            f"The campaign is {campaign.type}: only a recurring campaign is a series."
        )
    conditions.show(version_tag(campaign.version))
    ahead = await outlook(transaction, campaign, datetime.now(UTC), _COMING)
    children = await newest_children(transaction, campaign.tenant_id, campaign.id, _CHILDREN)
    coming = [Occurrence(at=at, local=shown(at, schedule["timezone"])) for at in ahead.coming]
    return success(
        Series(
            campaign_id=campaign.id,
            status=campaign.status,
            recurring_schedule=schedule,
            occurrences_sent=ahead.sent,
            next_occurrences=coming,
            children=[live.campaign(child) for child in children],
        )
    )
