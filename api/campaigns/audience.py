"""Who would get a campaign if it started now: a dry run, counted by reason."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from api.campaigns.answers import success
from api.campaigns.preview import content_of, learn
from api.campaigns.routes import Existing
from api.http.auth import Viewer
from api.http.json_bodies import JsonRoute
from connectors.messages.preview import segments_per_message
from streams.contracts.bodies import broken
from streams.contracts.fields import Body, Channel, Segments
from streams.errors import FieldError
from streams.records.message_id import MessageIds
from tables.audience.dry_run import Counted, count_audience, some_of_audience
from tables.campaigns.campaign import Campaign
from tables.commands.triggers import TRIGGERED
from tables.database.connection import Connection, once
from tables.directory.directory import unknown_segments

router = APIRouter(tags=["campaigns"], route_class=JsonRoute)
_SAMPLED = 100  # contacts whose SMS are counted


class AudienceOf(Body):
    """An audience that no campaign has yet."""

    channel: Channel
    segment_ids: Annotated[Segments, Field(min_length=1)]
    exclude_segment_ids: Segments = Field(default_factory=list)


@router.post("/campaigns/{campaignId}/audience", name="audience")
async def count(request: Request, campaign: Existing) -> dict[str, Any]:
    """Who would get the campaign if it started now, and how many would not, by reason. Nothing is
    changed.

    For a triggered campaign: who may be triggered.
    """

    async def work(connection: Connection) -> dict[str, Any]:
        chosen = (
            campaign.tenant_id,
            campaign.channel,
            campaign.segment_ids,
            campaign.exclude_segment_ids,
        )
        counted = await count_audience(connection, *chosen, is_triggered=campaign.type == TRIGGERED)
        segments = (
            await _segments(request, connection, campaign, counted.total)
            if campaign.channel == "sms"
            else None
        )
        return _shown(request, counted, segments)

    async with request.app.state.counting:
        return success(await once(request.app.state.pool, work))


@router.post("/audience", name="any_audience")
async def count_any(request: Request, who: Viewer, body: AudienceOf) -> dict[str, Any]:
    """The same for a channel and segments that no campaign has yet."""
    await learn(request, who.tenant_id, segments=(*body.segment_ids, *body.exclude_segment_ids))

    async def work(connection: Connection) -> dict[str, Any]:
        for field, ids in (
            ("segmentIds", body.segment_ids),
            ("excludeSegmentIds", body.exclude_segment_ids),
        ):
            if unknown := await unknown_segments(connection, who.tenant_id, ids):
                raise broken(
                    FieldError(field, f"there is no segment {', '.join(map(str, unknown))}")
                )
        return _shown(
            request,
            await count_audience(
                connection, who.tenant_id, body.channel, body.segment_ids, body.exclude_segment_ids
            ),
            None,
        )

    async with request.app.state.counting:
        return success(await once(request.app.state.pool, work))


async def _segments(
    request: Request, connection: Connection, campaign: Campaign, total: int
) -> dict[str, Any] | None:
    """What all SMS take, estimated from some; None when none of these can be rendered."""
    chosen = (
        campaign.tenant_id,
        campaign.channel,
        campaign.segment_ids,
        campaign.exclude_segment_ids,
    )
    contacts = await some_of_audience(connection, *chosen, limit=_SAMPLED)
    sent = await content_of(request, connection, campaign, is_tracked=True)
    average = segments_per_message(sent, contacts, MessageIds.of(request.app.state.settings))
    if average is None:
        return None
    return {
        "perMessage": round(average, 2),
        "total": round(average * total),
        "sampled": len(contacts),
    }


def _shown(request: Request, counted: Counted, segments: dict[str, Any] | None) -> dict[str, Any]:
    limit = request.app.state.settings.max_recipients
    return {
        "total": counted.total,
        "inSegments": counted.in_segments,
        "excluded": dict(counted.excluded),
        "limit": limit,
        "isOverLimit": counted.total > limit,
        "segments": segments,
    }
