"""What the throttle reports of a campaign that is being sent: the sample is out, everything is
sent.

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
from tables.campaigns.ab_tests import clock
from tables.campaigns.campaign import change_campaign, lock_campaign
from tables.campaigns.changes import Change, publish
from tables.database.connection import Session
from tables.models import Campaign


@dataclass(frozen=True)
class Reported:
    """The campaign afterwards, and what is to be logged once that is committed."""

    campaign: Campaign
    change: Change | None = None

    def log(self) -> None:
        if self.change is not None:
            self.change.log()


async def finished(
    session: Session, tenant: str, campaign_id: UUID, *, sent: int, skipped: int, at: datetime
) -> Reported:
    """Every recipient has been sent to or skipped: complete the campaign, running or paused. A
    repeat changes nothing.

    Raises NotFoundError.
    """
    before = await lock_campaign(session, tenant, campaign_id)
    if before.status not in ACTIVE:
        return Reported(before)
    columns = {
        "status": Status.COMPLETED,
        "completed_at": at,
        "sent_count": sent,
        "skipped_count": skipped,
        "status_reason": None,
    }
    is_tested = before.ab_test_config is not None and sent + skipped > 0
    if (
        is_tested and before.sample_sent_at is None
    ):  # nobody was held back, or they were released early
        columns |= clock(before, at)
    after = await change_campaign(session, before, at, **columns)
    cause, started = events.Cause(after.origin, at), rfc3339(after.started_at or at)
    event = events.Completed(*after.head, sent + skipped, sent, skipped, started, rfc3339(at))
    await publish(session, after, event, cause)
    return Reported(after, Change.of(after, before.status, cause))


async def sample_sent(session: Session, tenant: str, campaign_id: UUID, at: datetime) -> Reported:
    """Everything that is not held has been sent; the first time counts. Raises NotFoundError."""
    before = await lock_campaign(session, tenant, campaign_id)
    if before.status not in ACTIVE or before.sample_sent_at is not None:
        return Reported(before)
    return Reported(await change_campaign(session, before, at, **clock(before, at)))
