"""Starts the campaigns that are due, each in a transaction on locked rows (tenant, series,
campaign), so that two schedulers start it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import and_, not_, or_, select
from sqlalchemy.orm import aliased

from streams.contracts import events
from streams.contracts.bodies import Explanation
from streams.contracts.commands import Cancel, Start
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import ACTIVE, CampaignType, Status
from streams.contracts.values.one_line import folded
from streams.settings import Settings
from tables.campaigns.campaign import amend_campaign, count_running, lock_campaign, rooms_taken
from tables.campaigns.changes import Change, publish
from tables.campaigns.occurrences import advance
from tables.campaigns.times import max_lateness
from tables.commands.execute import execute
from tables.commands.verbs import SentSoFar
from tables.database.connection import Session
from tables.models import Campaign, Tenant
from tables.tenants.tenants import locked_tenant

Outcome = Literal["started", "waiting", "delayed", "missed", "superseded", "failed", "gone"]
_LONGEST_REASON = 200
_Series = aliased(Campaign)
_Other = aliased(Campaign)
# Children of a series that is paused wait for it, and everything of a tenant that is suspended.
_IS_SUSPENDED = (
    select(Tenant.id)
    .where(Tenant.id == Campaign.tenant_id, Tenant.suspended_at.is_not(None))
    .correlate(Campaign)
    .exists()
)
_OPEN = (
    Campaign.status == Status.SCHEDULED,
    Campaign.deleted_at.is_(None),
    or_(Campaign.parent_id.is_(None), _Series.status == Status.RUNNING),
    not_(_IS_SUSPENDED),
)
_OF_SERIES = and_(_Series.id == Campaign.parent_id, _Series.tenant_id == Campaign.tenant_id)
_RUNNING = (
    select(rooms_taken(_Other))
    .where(
        _Other.tenant_id == Campaign.tenant_id,
        _Other.status.in_(ACTIVE),
        _Other.type != CampaignType.RECURRING,
    )
    .correlate(Campaign)
    .scalar_subquery()
)


@dataclass(frozen=True)
class DueCampaign:
    """A campaign whose time has come. `is_waiting`: it has been met before, when too many campaigns
    of its tenant were running.
    """

    id: UUID
    tenant_id: str
    parent_id: UUID | None
    is_waiting: bool


@dataclass(frozen=True)
class StartOutcome:
    """The end of a due campaign's turn, and the changes to be logged once it is committed."""

    outcome: Outcome
    changes: tuple[Change, ...] = ()

    def log(self) -> None:
        for change in self.changes:
            change.log()


async def due_campaigns(
    session: Session, settings: Settings, at: datetime, limit: int = 10_000
) -> list[DueCampaign]:
    """The longest due first. One that waits for room is among them only if there is some."""
    has_room = or_(Campaign.waits_below.is_(None), settings.max_running > _RUNNING)
    found = await session.execute(
        select(
            Campaign.id,
            Campaign.tenant_id,
            Campaign.parent_id,
            Campaign.waits_below.is_not(None),
        )
        .outerjoin(_Series, _OF_SERIES)
        .where(*_OPEN, Campaign.scheduled_at <= at, has_room)
        .order_by(Campaign.scheduled_at, Campaign.id)
        .limit(limit)
    )
    return [DueCampaign(*row) for row in found]


async def next_due(session: Session) -> datetime | None:
    """When the next campaign is due, the past included; one that waits for room counts only if
    there is some.
    """
    has_room = or_(Campaign.waits_below.is_(None), Campaign.waits_below > _RUNNING)
    return await session.scalar(
        select(Campaign.scheduled_at)
        .outerjoin(_Series, _OF_SERIES)
        .where(*_OPEN, has_room)
        .order_by(Campaign.scheduled_at)
        .limit(1)
    )


async def settle(
    session: Session, settings: Settings, due: DueCampaign, at: datetime, sent: SentSoFar
) -> StartOutcome:
    """Start the campaign, or let it wait for room, or cancel it: missed by more than `maxLateness`,
    superseded by a later occurrence, or impossible to start.

    The outcome "gone": another scheduler has the campaign or is done with it, or its tenant was
    suspended at this very moment.
    """
    return await _turn(session, settings, due, at, sent, is_known=True)


async def delay(
    session: Session, settings: Settings, due: DueCampaign, at: datetime, sent: SentSoFar
) -> StartOutcome:
    """`settle` for a campaign of which a directory service has not told everything: it is not
    started, its row says so, and it is missed or superseded as any other.
    """
    return await _turn(session, settings, due, at, sent, is_known=False)


async def _turn(
    session: Session,
    settings: Settings,
    due: DueCampaign,
    at: datetime,
    sent: SentSoFar,
    *,
    is_known: bool,
) -> StartOutcome:
    if (await locked_tenant(session, due.tenant_id)).suspended_at is not None:
        return StartOutcome("gone")
    made: tuple[Change, ...] = ()
    if due.parent_id is not None:
        if (series := await _running_series(session, due)) is None:
            return StartOutcome("gone")
        made = (await advance(session, settings, series, at)).changes
    if (campaign := await _claimed(session, due, at)) is None:
        return StartOutcome("gone", made)
    if campaign.is_directory_down is is_known:
        await amend_campaign(session, campaign, is_directory_down=not is_known)
    settled = await _settled(session, settings, campaign, at, sent, is_known=is_known)
    return StartOutcome(settled.outcome, (*made, *settled.changes))


async def _settled(
    session: Session,
    settings: Settings,
    campaign: Campaign,
    at: datetime,
    sent: SentSoFar,
    *,
    is_known: bool,
) -> StartOutcome:
    if not campaign.is_series:  # the occurrences of a series are judged, not its beginning
        if await _is_superseded(session, campaign, at):
            return await _give_up(session, settings, campaign, "missed-occurrence", at, sent)
        assert campaign.scheduled_at is not None
        if campaign.waits_below is None and at - campaign.scheduled_at > max_lateness(campaign):
            return await _give_up(session, settings, campaign, "missed-schedule", at, sent)
        if await count_running(session, campaign.tenant_id) >= settings.max_running:
            await amend_campaign(session, campaign, waits_below=settings.max_running)
            return StartOutcome("waiting")
    if not is_known:
        return StartOutcome("delayed")
    command = Start(
        tenant_id=campaign.tenant_id,
        correlation_id=_correlation_id(campaign),
        campaign_id=campaign.id,
        at=at,
    )
    answer = await execute(session, settings, command, scope="command", sent=sent)
    if answer.refusal is None:
        return StartOutcome("started", answer.changes)
    return await _give_up(
        session, settings, campaign, f"cannot-start: {answer.refusal.detail}", at, sent
    )


async def _give_up(
    session: Session,
    settings: Settings,
    campaign: Campaign,
    reason: str,
    at: datetime,
    sent: SentSoFar,
) -> StartOutcome:
    """Cancel it, and beside the event of that say that the engine, not a person, did."""
    reason = folded(reason)[:_LONGEST_REASON]
    command = Cancel(
        tenant_id=campaign.tenant_id,
        correlation_id=_correlation_id(campaign),
        campaign_id=campaign.id,
        body=Explanation(reason=reason),
        at=at,
    )
    answer = await execute(session, settings, command, scope="command", sent=sent)
    answer.result()  # it is scheduled and locked, so nothing can refuse this
    after = await lock_campaign(session, campaign.tenant_id, campaign.id)
    event: events.Alert | events.Failed
    if reason == "missed-schedule":
        detail = (
            f"It was due at {rfc3339(after.scheduled_at or at)} and nothing could start it until"
            " now; nobody will get it."
        )
        event = events.Alert(*after.head, rfc3339(at), reason, detail)
    elif reason == "missed-occurrence":
        return StartOutcome("superseded", answer.changes)
    else:
        event = events.Failed(*after.head, rfc3339(at), 0, reason)
    await publish(session, after, event, command.cause)
    return StartOutcome("missed" if reason == "missed-schedule" else "failed", answer.changes)


async def _running_series(session: Session, due: DueCampaign) -> Campaign | None:
    series = select(Campaign).where(
        Campaign.tenant_id == due.tenant_id,
        Campaign.id == due.parent_id,
        Campaign.status == Status.RUNNING,
    )
    return await session.first(series.with_for_update(key_share=True))


async def _claimed(session: Session, due: DueCampaign, at: datetime) -> Campaign | None:
    """Lock the campaign if it is still scheduled and due. Returns None while another scheduler
    holds the lock; that one starts it, or the next run finds it still due.
    """
    campaign = select(Campaign).where(
        Campaign.tenant_id == due.tenant_id,
        Campaign.id == due.id,
        Campaign.status == Status.SCHEDULED,
        Campaign.deleted_at.is_(None),
        Campaign.scheduled_at <= at,
    )
    return await session.first(campaign.with_for_update(key_share=True, skip_locked=True))


async def _is_superseded(session: Session, campaign: Campaign, at: datetime) -> bool:
    """Whether a later occurrence of its series has come due, too: of several missed ones only the
    latest is sent.
    """
    if campaign.parent_id is None or campaign.occurrence_at is None:
        return False
    later = select(Campaign.id).where(
        Campaign.tenant_id == campaign.tenant_id,
        Campaign.parent_id == campaign.parent_id,
        Campaign.occurrence_at > campaign.occurrence_at,
        Campaign.scheduled_at <= at,
        or_(Campaign.status != Status.CANCELLED, Campaign.started_at.is_not(None)),
    )
    return bool(await session.scalar(select(later.exists())))


def _correlation_id(campaign: Campaign) -> str:
    """The same in a repeat."""
    return str(events.event_id(campaign.id, campaign.version, "campaign-scheduler"))
