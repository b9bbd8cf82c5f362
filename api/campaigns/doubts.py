"""The REST routes of a campaign's messages in doubt: handed to a route of the tenant, and never
answered.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from api.campaigns.routes import Existing
from api.campaigns.schemas import CAMPAIGN_ID, CONTACT_IDS
from api.http.auth import Acting, Sender
from api.http.dependencies import Transaction
from api.http.envelope import Instant, Page, Schema, Success, shown_as, success
from api.http.json_bodies import JsonRoute
from api.http.paging import ByPage
from streams.contracts.fields import Body
from tables import models
from tables.audience import doubts
from tables.audience.doubts import Resolution
from tables.tenants.audit import Action, note

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)
_MESSAGE = "00000000-002a-8000-8007-4d1f6c0e9b2a"
_MOST = 1_000  # messages that one request names
_DOUBT: dict[str, Any] = {
    "messageId": _MESSAGE,
    "contactId": CONTACT_IDS[0],
    "route": "relay-eu",
    "at": "2026-01-28T10:00:00.000Z",
    "resolution": None,
    "resolvedAt": None,
}


class Doubt(Schema):
    """A message that the route took, or not: its answer never came. `resolution` is null while the
    message is held; `expired`: nobody decided in time.
    """

    model_config = shown_as(_DOUBT)

    message_id: UUID
    contact_id: UUID
    route: str
    at: Instant
    resolution: Resolution | None
    resolved_at: Instant | None

    @classmethod
    def of(cls, row: models.Doubt) -> Self:
        return cls.model_validate(row, from_attributes=True)


class Decision(Body):
    """The fate of held messages: of these, or without `messageIds` of all of the campaign."""

    model_config = shown_as({"resolution": "resend", "messageIds": [_MESSAGE]})

    resolution: Literal["resend", "drop"]
    message_ids: list[UUID] | None = Field(None, min_length=1, max_length=_MOST)


class Decided(Schema):
    """How many held messages were decided about."""

    model_config = shown_as({"campaignId": CAMPAIGN_ID, "resolution": "resend", "messages": 1})

    campaign_id: UUID
    resolution: Resolution
    messages: int


@router.get("/{campaignId}/in-doubt")
async def in_doubt(
    campaign: Existing,
    transaction: Transaction,
    wanted: ByPage,
    held: Annotated[bool | None, Query(description="only those that wait for a decision")] = None,
) -> Page[Doubt]:
    """The messages of the campaign whose hand-off was never answered, of the last 30 days, and what
    became of each: `onDoubt` of the route decides, and with `hold` you.
    """
    found, total = await doubts.list_doubts(
        transaction, campaign, is_held=held, limit=wanted.size, offset=wanted.offset
    )
    return wanted.of([Doubt.of(row) for row in found], total)


@router.post("/{campaignId}/in-doubt")
async def decide(
    who: Sender, by: Acting, campaign: Existing, transaction: Transaction, body: Decision
) -> Success[Decided]:
    """Decide about messages that are held: `resend` may reach a recipient twice, `drop` perhaps
    never. It acts within seconds; messages that are not held are left out.
    """
    resolution = Resolution(body.resolution)
    count = await doubts.resolve(transaction, campaign, resolution, body.message_ids)
    details = {"resolution": body.resolution, "messages": count}
    subject = str(campaign.id)
    await note(
        transaction, who.tenant_id, by, Action.DOUBTS_DECIDED, subject=subject, details=details
    )
    return success(Decided(campaign_id=campaign.id, resolution=resolution, messages=count))
