"""The contacts that a campaign would reach if it started now: a dry run, counted by reason."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from api.campaigns.routes import Existing
from api.http.auth import Viewer
from api.http.dependencies import Provided, Services
from api.http.envelope import Success, success
from api.http.json_bodies import JsonRoute
from api.limits.slots import COUNTS, takes
from api.previews.schemas import AudienceCount, AudienceOf, SmsSegments
from api.previews.subjects import counted_of, learn, sample_of
from connectors.messages.preview import segments_per_message
from connectors.templates.beside import beside
from streams.errors import FieldError, broken
from streams.records.message_id import MessageIds
from tables.audience.dry_run import Counted, count_audience
from tables.database.connection import Session
from tables.directory.segments import unknown_segments
from tables.models import Campaign

router = APIRouter(tags=["campaigns"], route_class=JsonRoute)


@router.post("/campaigns/{campaignId}/audience", name="audience")
@takes(COUNTS)
async def count(services: Provided, campaign: Existing) -> Success[AudienceCount]:
    """How many contacts would get the campaign if it started now, and how many would not, by
    reason. Nothing is changed.

    For a triggered campaign: how many may be triggered.
    """
    async with services.database.transaction() as session:
        counted = await counted_of(session, campaign)
        segments = None
        if campaign.channel == "sms":
            segments = await _segments(services, session, campaign, counted.total)
    return success(_shown(services, counted, segments))


@router.post("/audience", name="any_audience")
@takes(COUNTS)
async def count_any(services: Provided, who: Viewer, body: AudienceOf) -> Success[AudienceCount]:
    """The same for a channel and segments that no campaign has yet."""
    chosen, excluded = body.segment_ids, body.exclude_segment_ids
    await learn(services, who.tenant_id, segments=(*chosen, *excluded))
    async with services.database.transaction() as session:
        for field, ids in (("segmentIds", chosen), ("excludeSegmentIds", excluded)):
            if unknown := await unknown_segments(session, who.tenant_id, ids):
                listed = ", ".join(map(str, unknown))
                raise broken(FieldError(field, f"there is no segment {listed}"))
        counted = await count_audience(session, who.tenant_id, body.channel, chosen, excluded)
    return success(_shown(services, counted, None))


async def _segments(
    services: Services, session: Session, campaign: Campaign, total: int
) -> SmsSegments | None:
    """The segments of all SMS, estimated from some; None when none of these can be rendered."""
    sent, contacts = await sample_of(services, session, campaign)
    ids = MessageIds.of(services.settings)
    average = await beside(partial(segments_per_message, sent, contacts, ids))
    if average is None:
        return None
    return SmsSegments(
        per_message=round(average, 2), total=round(average * total), sampled=len(contacts)
    )


def _shown(services: Services, counted: Counted, segments: SmsSegments | None) -> AudienceCount:
    limit = services.settings.max_recipients
    return AudienceCount(
        total=counted.total,
        in_segments=counted.in_segments,
        excluded=dict(counted.excluded),
        limit=limit,
        is_over_limit=counted.total > limit,
        segments=segments,
    )
