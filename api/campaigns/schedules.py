"""The REST routes of time: the schedule verb, and what a series has sent and will send."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from api.campaigns.answers import Live, success
from api.campaigns.routes import CampaignId, Existing, IdempotencyKey, IfMatch, carry_out
from api.http.auth import Sender
from api.http.json_bodies import JsonRoute
from streams.contracts.bodies import CampaignSchedule
from streams.contracts.commands import Verb
from streams.contracts.envelope import rfc3339
from streams.contracts.local_time import shown
from streams.errors import ConflictError
from tables.campaigns.series import newest_children, outlook
from tables.campaigns.times import RECURRING
from tables.database.failures import translated

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)

_COMING = 10  # occurrences that an answer looks ahead
_CHILDREN = 20  # in an answer; `GET /campaigns?parentId=` pages through all


@router.post("/{campaignId}/schedule")
async def schedule(
    request: Request,
    response: Response,
    who: Sender,
    campaign_id: CampaignId,
    body: CampaignSchedule,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start at `scheduledAt`, a recurring campaign from then on; scheduling again moves it.

    Without an offset it is a local time in `timezone`, else in the campaign's, else in UTC. One
    that clocks skip is the first instant after the gap, of one that exists twice the earlier. The
    past is refused.
    """
    return await carry_out(
        request, response, who, Verb.SCHEDULE, campaign_id, body, idempotency_key, if_match
    )


@router.get("/{campaignId}/series", responses={409: {"description": "It is no recurring campaign"}})
async def series(request: Request, campaign: Existing) -> dict[str, Any]:
    """A recurring campaign's next 10 occurrences and newest 20 children; `GET /campaigns?parentId=`
    pages through all of them.
    """
    schedule = campaign.recurring_schedule
    if campaign.type != RECURRING or schedule is None:
        raise ConflictError(
            f"The campaign is {campaign.type}: only a recurring campaign is a series."
        )
    at = datetime.now(UTC)
    with translated():
        async with request.app.state.pool.acquire() as connection:
            ahead = await outlook(connection, campaign, at, _COMING)
            children = await newest_children(connection, campaign.tenant_id, campaign.id, _CHILDREN)
    live, zone = Live.of(request), schedule["timezone"]
    return success(
        {
            "campaignId": str(campaign.id),
            "status": campaign.status,
            "recurringSchedule": schedule,
            "occurrencesSent": ahead.sent,
            "nextOccurrences": [
                {"at": rfc3339(one), "local": shown(one, zone)} for one in ahead.coming
            ],
            "children": [live.campaign(child) for child in children],
        }
    )
