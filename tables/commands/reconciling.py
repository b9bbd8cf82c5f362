"""The fate of campaigns when PostgreSQL or Kafka was restored: the knowledge of both about each is
compared, and one of which it is not certain what has been sent is ended or stopped, never sent
twice.

`judge` decides, without effects; `mend` is a row change with its outbox records and a row of the
audit log, in the transaction of the caller. Mended campaigns are not found again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from sqlalchemy import or_, select

from streams.contracts import events
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import ACTIVE, Status
from streams.contracts.recurrence import Recurrence
from streams.records.sending import Cancelled, Closed, Paused
from tables.audience.recipients import recipient_id
from tables.campaigns.campaign import amend_campaign, change_campaign
from tables.campaigns.changes import Change, publish
from tables.campaigns.occurrences import MARGIN
from tables.commands import milestones
from tables.database.connection import Session
from tables.database.outbox import append, to_throttle
from tables.models import Campaign, CampaignRecipient
from tables.tenants import audit
from tables.throttle.state import CampaignSending


class Remedy(StrEnum):
    """The change that mends a campaign."""

    CANCEL = "cancelled"
    COMPLETE = "completed"
    PAUSE = "paused"
    UNSCHEDULE = "unscheduled"
    SKIP = "skips occurrences"
    GO_ON = "goes on"


@dataclass(frozen=True)
class KafkaSide:
    """Kafka's knowledge of a campaign: how the throttle sends it, None when it does not, and how
    many messages were counted.
    """

    sending: CampaignSending | None = None
    sent: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Loss:
    """The server that went back. `until`: the time of PostgreSQL up to which Kafka has something of
    it; None where only Kafka went back.
    """

    in_kafka: bool
    until: datetime | None = None

    @property
    def code(self) -> str:
        return "kafka-restored" if self.in_kafka else "postgresql-restored"


@dataclass(frozen=True)
class Finding:
    """A campaign, what is done to it, and why, in the words of its `statusReason`."""

    campaign: Campaign
    remedy: Remedy
    reason: str
    heard: KafkaSide = KafkaSide()


async def affected(session: Session, numbers: list[int]) -> list[Campaign]:
    """The campaigns that may be affected: those of these numbers, and all that are under way; each
    locked, oldest first.
    """
    under_way = Campaign.status.in_((*ACTIVE, Status.SCHEDULED))
    found = select(Campaign).where(or_(under_way, Campaign.number.in_(numbers)))
    return await session.every(found.order_by(Campaign.number).with_for_update(key_share=True))


async def has_row(session: Session, campaign: Campaign, ready: int) -> bool:
    """Whether the ledger has the rows that the throttle counts on. Pages are committed one after
    the other, so the last row stands for all.
    """
    if not ready:
        return True
    last = CampaignRecipient.id == recipient_id(campaign.number, ready - 1)
    return await session.scalar(select(CampaignRecipient.id).where(last)) is not None


def judge(
    campaign: Campaign,
    heard: KafkaSide | None,
    lost: Loss,
    *,
    has_rows: bool = True,
    changed_at: datetime | None = None,
) -> Finding | None:
    """None: the campaign is as it should be. `changed_at`: the last change that Kafka knows of it.
    Pure.
    """
    if campaign.is_series:
        return _judge_series(campaign, lost)
    if campaign.status in ACTIVE:
        if lost.in_kafka:
            unknown = "Kafka was restored, and what has been sent is not known any more"
            return Finding(campaign, Remedy.CANCEL, f"{lost.code}: {unknown}", heard or KafkaSide())
        return _judge_active(campaign, heard or KafkaSide(), lost, has_rows=has_rows)
    if lost.until is None:
        return None
    is_startable = campaign.status in (Status.DRAFT, Status.SCHEDULED)
    if is_startable and heard is not None:
        reason = f"{lost.code}: it had been started, {heard.sent:,} messages are sent"
        return Finding(campaign, Remedy.CANCEL, reason, heard)
    if campaign.status is Status.SCHEDULED and _is_older(campaign, changed_at):
        reason = f"{lost.code}: it had been changed since; check it and schedule it again"
        return Finding(campaign, Remedy.UNSCHEDULE, reason)
    return None


def _judge_series(series: Campaign, lost: Loss) -> Finding | None:
    """Occurrences of the time that was lost may have been sent. Those that come are not affected,
    and Kafka keeps nothing of a series.
    """
    if lost.until is None or series.status not in ACTIVE or series.next_occurrence_at is None:
        return None
    if series.next_occurrence_at > lost.until + MARGIN:
        return None
    return Finding(series, Remedy.SKIP, f"{lost.code}: occurrences until {rfc3339(lost.until)}")


def _judge_active(
    campaign: Campaign, heard: KafkaSide, lost: Loss, *, has_rows: bool
) -> Finding | None:
    sending, total = heard.sending, campaign.total_recipients

    def found(remedy: Remedy, reason: str) -> Finding:
        return Finding(campaign, remedy, f"{lost.code}: {reason}", heard)

    if sending is None:
        if total and heard.sent + heard.skipped >= total:
            return found(Remedy.COMPLETE, "it had been sent")
        return found(Remedy.CANCEL, "what became of it is not known any more")
    if sending.campaign_id != str(campaign.id):
        return found(Remedy.CANCEL, "its number is another campaign's")
    if sending.is_endless:
        is_same = total == sending.total and has_rows
        reason = f"{sending.total:,} contacts had been triggered"
    else:
        if total != sending.total or not has_rows:
            return found(Remedy.CANCEL, "its recipients are lost")
        is_same, reason = True, "it had been paused or resumed"
    if not is_same or sending.is_paused != (campaign.status is Status.PAUSED):
        return found(Remedy.PAUSE, f"{reason}; check it and resume it")
    is_behind = campaign.version < max(sending.version, sending.limits_version)
    if is_behind or (sending.is_sample_sent and campaign.sample_sent_at is None):
        return found(Remedy.GO_ON, "it had been changed")
    return None


def _is_older(campaign: Campaign, changed_at: datetime | None) -> bool:
    """Whether the row is older than the last event of it, whose time has milliseconds."""
    return changed_at is not None and rfc3339(changed_at) > rfc3339(campaign.updated_at)


async def mend(session: Session, finding: Finding, lost: Loss, at: datetime) -> Change | None:
    """Carry the remedy out; the change of status, to be logged after the commit."""
    before = await _ahead(session, finding)
    after, cause = before, events.Cause(before.origin, at)
    reason, remedy = finding.reason[:200], finding.remedy
    match remedy:
        case Remedy.CANCEL:
            after = await _moved(session, before, Status.CANCELLED, reason, at)
            await _end(session, after, finding, cause)
        case Remedy.COMPLETE:
            counts = {"sent": finding.heard.sent, "skipped": finding.heard.skipped}
            done = await milestones.finished(session, before.tenant_id, before.id, **counts, at=at)
            after = done.campaign
        case Remedy.PAUSE:
            after = await _moved(session, before, Status.PAUSED, reason, at)
            await _pause(session, after, finding, cause)
        case Remedy.UNSCHEDULE:
            after = await _moved(session, before, Status.DRAFT, reason, at)
            await publish(session, after, events.Updated(*after.head, ("status",)), cause)
        case Remedy.SKIP:
            await _skip(session, before, lost)
        case Remedy.GO_ON:
            if finding.heard.sending is not None and finding.heard.sending.is_sample_sent:
                await milestones.sample_sent(session, before.tenant_id, before.id, at)
        case _:
            assert_never(remedy)
    await audit.note(
        session,
        before.tenant_id,
        audit.COMMAND_LINE,
        audit.Action.CAMPAIGN_RECONCILED,
        subject=str(before.id),
        reason=f"{remedy}: {finding.reason}"[:500],
    )
    changed = after.status is not before.status
    return Change.of(after, before.status, cause) if changed else None


async def _ahead(session: Session, finding: Finding) -> Campaign:
    """The campaign with a version above what the throttle has heard of: it takes nothing older."""
    campaign, sending = finding.campaign, finding.heard.sending
    heard = max(sending.version, sending.limits_version) if sending is not None else 0
    if campaign.version >= heard:
        return campaign
    return await amend_campaign(session, campaign, version=heard)


async def _moved(
    session: Session, before: Campaign, status: Status, reason: str, at: datetime
) -> Campaign:
    return await change_campaign(session, before, at, status=status, status_reason=reason)


async def _end(session: Session, after: Campaign, finding: Finding, cause: events.Cause) -> None:
    fields = (*after.head, rfc3339(cause.at), finding.heard.sent, finding.reason)
    await publish(session, after, events.Cancelled(*fields), cause)
    await publish(session, after, events.Failed(*fields), cause)
    await append(session, [to_throttle(_cancelled(after), after.id, after.version)])


async def _pause(session: Session, after: Campaign, finding: Finding, cause: events.Cause) -> None:
    """Of a triggered campaign the total goes on behind what the throttle has heard of, so that no
    ordinal is used twice.
    """
    sending = finding.heard.sending
    if sending is not None and sending.is_endless:
        total = max(sending.total, after.total_recipients or 0)
        await amend_campaign(session, after, total_recipients=total)
    paused = Paused(
        tenant_id=after.tenant_id,
        campaign_id=str(after.id),
        number=after.number,
        version=after.version,
    )
    record = to_throttle(paused, after.id, after.version)
    event = events.Paused(*after.head, rfc3339(cause.at), finding.heard.sent, finding.reason)
    await publish(session, after, event, cause, record)


async def _skip(session: Session, series: Campaign, lost: Loss) -> None:
    assert lost.until is not None
    following = Recurrence.stored(series.recurring_schedule or {}).next(lost.until + MARGIN)
    await amend_campaign(session, series, next_occurrence_at=following)


def _cancelled(campaign: Campaign) -> Cancelled:
    return Cancelled(
        tenant_id=campaign.tenant_id,
        campaign_id=str(campaign.id),
        number=campaign.number,
        version=campaign.version,
    )


async def let_go(session: Session, strays: Mapping[int, tuple[str, CampaignSending]]) -> None:
    """Have the throttle forget campaigns that PostgreSQL does not know: by number, the tenant's id
    and the campaign. Their messages that are granted become dead letters.
    """
    for number, (tenant_id, sending) in strays.items():
        record = Closed(tenant_id=tenant_id, number=number)
        await append(session, [to_throttle(record, UUID(sending.campaign_id), sending.version)])
        await audit.note(
            session,
            tenant_id,
            audit.COMMAND_LINE,
            audit.Action.CAMPAIGN_RECONCILED,
            subject=sending.campaign_id,
            reason="cancelled: postgresql-restored: PostgreSQL does not know it any more",
        )
