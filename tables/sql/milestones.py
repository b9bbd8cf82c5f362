"""What the engine itself reports of a campaign: its audience is known, it cannot be sent, the sample is out, everything is sent.

Each is a row change with its outbox records in the transaction of the caller, idempotent by the campaign's state; the answer is the
change of status to log after the commit, if there was one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from streams import events
from streams.envelope import rfc3339
from streams.sending import Closed
from tables.sql.answers import Change
from tables.sql.campaigns import Campaign, change_campaign, lock_campaign
from tables.sql.database import Connection
from tables.sql.lifecycle import Status
from tables.sql.outbox import Outgoing, append, lifecycle, to_throttle

_SENDING = (Status.RUNNING, Status.PAUSED)


@dataclass(frozen=True)
class Reported:
    """The campaign afterwards, and what is to be logged once that is committed."""

    campaign: Campaign
    change: Change | None = None

    def log(self) -> None:
        if self.change is not None:
            self.change.log()


async def audience_known(connection: Connection, tenant: str, campaign_id: UUID, total: int, at: datetime) -> Reported:
    """Record the size of the audience and publish `campaign.started`; without anybody in it the campaign completes at once.

    Changes nothing when it is known already or the campaign has been cancelled meanwhile: see the answer's status.
    Raises NotFoundError.
    """
    before = await lock_campaign(connection, tenant, campaign_id)
    if before.status not in _SENDING or before.total_recipients is not None:
        return Reported(before)
    after = await change_campaign(connection, before, at, total_recipients=total)
    scheduled = rfc3339(after.scheduled_at) if after.scheduled_at else None
    event = events.Started(str(after.id), after.name, after.channel, total, rfc3339(after.started_at or at), scheduled)
    await append(connection, [_public(after, event, at)])
    return await _finish(connection, after, sent=0, skipped=0, at=at) if total == 0 else Reported(after)


async def failed(connection: Connection, tenant: str, campaign_id: UUID, reason: str, at: datetime) -> Reported:
    """The campaign can never be sent: cancel it, say why (at most 200 characters), and make the throttle forget it.

    Changes nothing when it has ended already. Raises NotFoundError.
    """
    before = await lock_campaign(connection, tenant, campaign_id)
    if before.status not in _SENDING:
        return Reported(before)
    after = await change_campaign(connection, before, at, status=Status.CANCELLED, status_reason=reason[:200])
    said = (str(after.id), after.name, after.channel, rfc3339(at), 0, reason)
    records = [_public(after, events.Cancelled(*said), at), _public(after, events.Failed(*said), at), _closed(after)]
    await append(connection, records)
    return Reported(after, _change(before, after))


async def finished(connection: Connection, tenant: str, campaign_id: UUID, *, sent: int, skipped: int, at: datetime) -> Reported:
    """Every recipient has been sent to or skipped: complete the campaign, running or paused. A repeat changes nothing.

    Raises NotFoundError.
    """
    before = await lock_campaign(connection, tenant, campaign_id)
    if before.status not in _SENDING:
        return Reported(before)
    return await _finish(connection, before, sent=sent, skipped=skipped, at=at)


async def sample_sent(connection: Connection, tenant: str, campaign_id: UUID, at: datetime) -> Reported:
    """Everything that is not held has been sent; the first time counts. Raises NotFoundError."""
    before = await lock_campaign(connection, tenant, campaign_id)
    if before.status not in _SENDING or before.sample_sent_at is not None:
        return Reported(before)
    return Reported(await change_campaign(connection, before, at, sample_sent_at=at))


async def _finish(connection: Connection, before: Campaign, *, sent: int, skipped: int, at: datetime) -> Reported:
    columns = {"status": Status.COMPLETED, "completed_at": at, "sent_count": sent, "skipped_count": skipped, "status_reason": None}
    after = await change_campaign(connection, before, at, **columns)
    total, started = after.total_recipients or sent + skipped, rfc3339(after.started_at or at)
    event = events.Completed(str(after.id), after.name, after.channel, total, sent, skipped, started, rfc3339(at))
    records = [_public(after, event, at)]
    if total == 0:  # the throttle never opens it, and may remember a pause of it
        records.append(_closed(after))
    await append(connection, records)
    return Reported(after, _change(before, after))


def _public(campaign: Campaign, event: events.LifecycleEvent, at: datetime) -> Outgoing:
    return lifecycle(event, campaign.tenant_id, campaign.id, campaign.version, _correlation(campaign), at)


def _closed(campaign: Campaign) -> Outgoing:
    return to_throttle(Closed(tenant_id=campaign.tenant_id, number=campaign.number), campaign.id, campaign.version)


def _change(before: Campaign, after: Campaign) -> Change:
    return Change(after.tenant_id, _correlation(after), after.id, before.status, after.status)


def _correlation(campaign: Campaign) -> str:
    return campaign.correlation_id or str(campaign.id)
