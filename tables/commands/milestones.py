"""The milestones of a campaign, as the throttle reports them: its sample is sent, all is sent.

Each is a row change with its outbox records in the transaction of the caller, idempotent by the
campaign's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from streams.contracts import events
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import ACTIVE, Status
from streams.records.sending import Finished, SampleSent
from tables.campaigns.ab_tests import clock
from tables.campaigns.campaign import change_campaign, lock_campaign
from tables.campaigns.changes import Change, publish
from tables.database.connection import Session
from tables.models import Campaign

SKIPPED_MOST = "skipped-most"


@dataclass(frozen=True)
class MilestoneOutcome:
    """The campaign afterwards, and what is to be logged once that is committed."""

    campaign: Campaign
    change: Change | None = None

    def log(self) -> None:
        if self.change is not None:
            self.change.log()


async def record(session: Session, milestone: Finished | SampleSent) -> MilestoneOutcome:
    """Write one milestone. Raises NotFoundError."""
    tenant, campaign_id, at = milestone.tenant_id, UUID(milestone.campaign_id), milestone.at
    if isinstance(milestone, SampleSent):
        return await sample_sent(session, tenant, campaign_id, at)
    sent, skipped = milestone.sent, milestone.skipped
    return await finished(session, tenant, campaign_id, sent=sent, skipped=skipped, at=at)


async def finished(
    session: Session, tenant: str, campaign_id: UUID, *, sent: int, skipped: int, at: datetime
) -> MilestoneOutcome:
    """Complete the campaign, running or paused: every recipient has been sent to or skipped. A
    repeat changes nothing.

    Raises NotFoundError.
    """
    before = await lock_campaign(session, tenant, campaign_id)
    if before.status not in ACTIVE:
        return MilestoneOutcome(before)
    warning = _warning(sent, skipped)
    columns = {
        "status": Status.COMPLETED,
        "completed_at": at,
        "sent_count": sent,
        "skipped_count": skipped,
        "status_reason": None,
        "warning": warning,
    }
    is_tested = before.ab_test_config is not None and sent + skipped > 0
    # no recipient was held back, or all were released early
    if is_tested and before.sample_sent_at is None:
        columns |= clock(before, at)
    after = await change_campaign(session, before, at, **columns)
    cause, started = events.Cause(after.origin, at), rfc3339(after.started_at or at)
    event = events.Completed(*after.head, sent + skipped, sent, skipped, started, rfc3339(at))
    await publish(session, after, event, cause)
    if warning is not None:
        alert = events.Alert(*after.head, rfc3339(at), SKIPPED_MOST, warning)
        await publish(session, after, alert, cause)
    return MilestoneOutcome(after, Change.of(after, before.status, cause))


def _warning(sent: int, skipped: int) -> str | None:
    """A sentence for people when more than half of the recipients got nothing."""
    total = sent + skipped
    if skipped * 2 <= total:
        return None
    return (
        f"{skipped:,} of {total:,} recipients were skipped ({skipped * 100 / total:.1f} %):"
        " the campaign's stats say why, `skipped` by reason."
    )


async def sample_sent(
    session: Session, tenant: str, campaign_id: UUID, at: datetime
) -> MilestoneOutcome:
    """Everything that is not held has been sent; the first time counts. Raises NotFoundError."""
    before = await lock_campaign(session, tenant, campaign_id)
    if before.status not in ACTIVE or before.sample_sent_at is not None:
        return MilestoneOutcome(before)
    return MilestoneOutcome(await change_campaign(session, before, at, **clock(before, at)))
