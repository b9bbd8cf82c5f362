"""Tenants are suspended and resumed: one transaction holds the tenant's row, the pause of every
campaign that is running, with its events and records for the throttle, and the line of the audit
log.

While it is suspended a tenant's keys are refused (`tables.tenants.api_keys`), nothing of it is
created, started or resumed, and the scheduler leaves its campaigns out. Pixels, links, the
unsubscribe page and webhooks go on: people can say no, and what was sent is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from streams.contracts.bodies import Explanation
from streams.contracts.commands import Pause, Resume
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import CampaignType, Status
from streams.errors import ConflictError
from streams.settings import Settings
from tables.campaigns.campaign import amend_campaign, lock_campaign
from tables.campaigns.changes import Change
from tables.commands.execute import execute, nothing_known
from tables.commands.verbs import SentSoFar
from tables.database.connection import Session
from tables.models import Campaign, Tenant
from tables.tenants.audit import Action, Author, note
from tables.tenants.tenants import locked_tenant

#: The reason that the campaigns give.
REASON = "tenant-suspended"
#: Between the mark and the removal; what was granted before is sent or skipped by then.
SHORTEST_GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Suspension:
    """The consequences for the tenant's campaigns: how many were paused or resumed, and those that
    could not be resumed, with the reasons. `changes` are logged once they are committed.
    """

    campaigns: int
    refused: Mapping[UUID, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()

    def log(self) -> None:
        for change in self.changes:
            change.log()


async def suspend(
    session: Session,
    settings: Settings,
    tenant_id: str,
    *,
    by: Author,
    reason: str,
    at: datetime,
    sent: SentSoFar = nothing_known,
) -> Suspension:
    """Suspend the tenant. Raises NotFoundError, and ConflictError when it is suspended."""
    tenant = await locked_tenant(session, tenant_id)
    if tenant.suspended_at is not None:
        raise ConflictError(
            f"The tenant {tenant_id} has been suspended since {rfc3339(tenant.suspended_at)}."
        )
    await _set(session, tenant_id, suspended_at=at)
    paused = await _pause_all(session, settings, tenant_id, at, sent)
    await _note(session, tenant_id, by, Action.TENANT_SUSPENDED, reason, paused=paused.campaigns)
    return paused


async def resume(
    session: Session,
    settings: Settings,
    tenant_id: str,
    *,
    by: Author,
    reason: str,
    at: datetime,
    sent: SentSoFar = nothing_known,
) -> Suspension:
    """Take the suspension back, and the deletion that was asked for: campaigns that the suspension
    paused go on where they stood. One that came due meanwhile is started or, when it is later than
    its `maxLateness`, cancelled, as after any other outage.

    Raises NotFoundError, and ConflictError when it is not suspended or its removal has begun.
    """
    tenant = await locked_tenant(session, tenant_id)
    if tenant.suspended_at is None:
        raise ConflictError(f"The tenant {tenant_id} is not suspended.")
    # by the clock that removal goes by, and read once the tenant is locked
    is_over = select(Tenant.delete_after <= func.clock_timestamp()).where(Tenant.id == tenant_id)
    if await session.scalar(is_over):
        raise ConflictError(f"The removal of {tenant_id} has begun, which cannot be taken back.")
    await _set(session, tenant_id, suspended_at=None, delete_after=None)
    resumed = await _resume_all(session, settings, tenant_id, at, sent)
    await _note(session, tenant_id, by, Action.TENANT_RESUMED, reason, resumed=resumed.campaigns)
    return resumed


async def ask_for_deletion(
    session: Session,
    settings: Settings,
    tenant_id: str,
    *,
    by: Author,
    reason: str,
    at: datetime,
    grace: timedelta,
    sent: SentSoFar = nothing_known,
) -> Suspension:
    """Suspend the tenant, if it is not, and mark it: after `grace` everything of it is removed
    (`tables.commands.removal`). Until then `resume` takes that back; a second mark replaces the
    first.

    Raises NotFoundError, and ConflictError for a grace below SHORTEST_GRACE.
    """
    if grace < SHORTEST_GRACE:
        raise ConflictError(
            "The grace is at least one hour (PT1H): what was granted before is sent by then."
        )
    tenant = await locked_tenant(session, tenant_id)
    paused = Suspension(0)
    if tenant.suspended_at is None:
        paused = await suspend(session, settings, tenant_id, by=by, reason=reason, at=at, sent=sent)
    await _set(session, tenant_id, delete_after=at + grace)
    after = rfc3339(at + grace)
    await _note(session, tenant_id, by, Action.TENANT_DELETION_REQUESTED, reason, deleteAfter=after)
    return paused


async def _set(session: Session, tenant_id: str, **columns: datetime | None) -> None:
    await session.execute(update(Tenant).where(Tenant.id == tenant_id).values(**columns))


async def _note(
    session: Session, tenant_id: str, by: Author, action: Action, reason: str, **details: Any
) -> None:
    subject = f"tenant {tenant_id}"
    await note(session, tenant_id, by, action, subject=subject, reason=reason, details=details)


async def _pause_all(
    session: Session, settings: Settings, tenant_id: str, at: datetime, sent: SentSoFar
) -> Suspension:
    """Series first: they pause their children, and resume them."""
    is_running = Campaign.status == Status.RUNNING
    is_series = Campaign.type == CampaignType.RECURRING
    changes, count = list[Change](), 0
    for kind in (is_series, ~is_series):
        for campaign_id in await _found(session, tenant_id, is_running & kind):
            command = _command(Pause, tenant_id, campaign_id, at, Explanation(reason=REASON))
            answer = await execute(session, settings, command, scope="command", sent=sent)
            if answer.refusal is not None:  # it was completed at this very moment
                continue
            campaign = await lock_campaign(session, tenant_id, campaign_id)
            await amend_campaign(session, campaign, is_paused_by_suspension=True)
            changes += answer.changes
            count += 1
    return Suspension(count, changes=tuple(changes))


async def _resume_all(
    session: Session, settings: Settings, tenant_id: str, at: datetime, sent: SentSoFar
) -> Suspension:
    """One that no place is left for stays paused, and a person resumes it."""
    changes, count, refused = list[Change](), 0, dict[UUID, str]()
    is_ours = (Campaign.status == Status.PAUSED) & Campaign.is_paused_by_suspension
    for campaign_id in await _found(session, tenant_id, is_ours):
        command = _command(Resume, tenant_id, campaign_id, at, Explanation())
        answer = await execute(session, settings, command, scope="command", sent=sent)
        if answer.refusal is not None:
            refused[campaign_id] = answer.refusal.detail
            continue
        changes += answer.changes
        count += 1
    return Suspension(count, refused, tuple(changes))


def _command(
    kind: type[Pause | Resume], tenant_id: str, campaign_id: UUID, at: datetime, body: Explanation
) -> Pause | Resume:
    return kind(
        tenant_id=tenant_id,
        correlation_id=f"{REASON}:{campaign_id}:{rfc3339(at)}",
        campaign_id=campaign_id,
        body=body,
        at=at,
    )


async def _found(session: Session, tenant_id: str, which: Any) -> list[UUID]:
    mine = select(Campaign.id).where(
        Campaign.tenant_id == tenant_id, Campaign.deleted_at.is_(None), which
    )
    return list((await session.scalars(mine.order_by(Campaign.number))).all())
