"""Campaigns of which too many people complain are paused: the counts at the last pause, and the
pause itself, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from streams.contracts.bodies import Explanation
from streams.contracts.commands import Pause
from streams.contracts.envelope import rfc3339
from streams.contracts.events import Alert
from streams.contracts.fields import Status
from streams.exactly_once.crash_points import crash_point
from streams.settings import Settings
from tables.campaigns.campaign import lock_campaign
from tables.campaigns.changes import publish
from tables.commands.answers import Answer
from tables.commands.execute import execute
from tables.database.connection import Session
from tables.models import Campaign, ComplaintPause

REASON = "complaint-rate"


@dataclass(frozen=True, slots=True)
class ComplaintCounts:
    """Messages delivered, and the people among their recipients that complained."""

    delivered: int
    complained: int

    def since(self, before: ComplaintCounts) -> ComplaintCounts:
        return ComplaintCounts(
            self.delivered - before.delivered, self.complained - before.complained
        )

    def is_too_many(self, percent: float, min_delivered: int) -> bool:
        """More than `percent` of the delivered, once there are `min_delivered`; exactly as many is
        not too many.
        """
        return self.delivered >= min_delivered and self.complained * 100 > percent * self.delivered


@dataclass(frozen=True, slots=True)
class WatchedCampaign:
    """A running campaign, and the counts at which it was last paused and then resumed: only what
    came after them is judged.
    """

    id: UUID
    tenant_id: str
    number: int
    before: ComplaintCounts


async def running(session: Session) -> list[WatchedCampaign]:
    """Every running campaign of every tenant."""
    found = await session.execute(
        select(
            Campaign.id,
            Campaign.tenant_id,
            Campaign.number,
            func.coalesce(ComplaintPause.delivered, 0),
            func.coalesce(ComplaintPause.complained, 0),
        )
        .outerjoin(ComplaintPause, ComplaintPause.campaign_id == Campaign.id)
        .where(Campaign.status == Status.RUNNING)
        .order_by(Campaign.number)
    )
    return [
        WatchedCampaign(campaign_id, tenant, number, ComplaintCounts(delivered, complained))
        for campaign_id, tenant, number, delivered, complained in found
    ]


async def pause(
    session: Session,
    settings: Settings,
    watched: WatchedCampaign,
    now: ComplaintCounts,
    at: datetime,
    sent: Mapping[int, int],
) -> Answer:
    """Pause it with the reason `complaint-rate` and publish an alert, in the caller's transaction.

    Safe twice at once: the second one waits for the row, finds the campaign paused, and is refused.
    `sent`: messages so far, by number.
    """
    command = Pause(
        tenant_id=watched.tenant_id,
        correlation_id=f"{REASON}:{watched.number}:{now.complained}",
        campaign_id=watched.id,
        body=Explanation(reason=REASON),
        at=at,
    )
    answer = await execute(
        session, settings, command, scope="command", sent=lambda _, number: sent.get(number, 0)
    )
    if answer.refusal is None:
        campaign = await lock_campaign(session, watched.tenant_id, watched.id)
        counts = {"delivered": now.delivered, "complained": now.complained, "paused_at": at}
        await session.execute(
            insert(ComplaintPause)
            .values(campaign_id=watched.id, tenant_id=watched.tenant_id, **counts)
            .on_conflict_do_update(index_elements=[ComplaintPause.campaign_id], set_=counts)
        )
        alert = _alert(campaign, now.since(watched.before), settings, at)
        await publish(session, campaign, alert, command.cause)
    crash_point("before-commit", "complaints")
    return answer


def _alert(campaign: Campaign, counted: ComplaintCounts, settings: Settings, at: datetime) -> Alert:
    rate = f"{counted.complained * 100 / counted.delivered:.2f} %"
    detail = (
        f"{counted.complained:,} of {counted.delivered:,} delivered complained ({rate});"
        f" the limit is {settings.complaint_rate_limit:g} %."
    )
    return Alert(*campaign.head, rfc3339(at), REASON, detail)
