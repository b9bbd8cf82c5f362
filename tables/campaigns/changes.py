"""How others learn of a campaign's changes: its public events, and the log of its statuses
(specification, section 6).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from streams.contracts.events import TYPES, Cause, LifecycleEvent, enveloped, event_id
from streams.contracts.fields import Status
from streams.topics import Name
from tables.database.connection import Session
from tables.database.outbox import Outgoing, append
from tables.models import Campaign

_log = logging.getLogger(__name__)


async def publish(
    session: Session, campaign: Campaign, event: LifecycleEvent, cause: Cause, *internal: Outgoing
) -> None:
    """Put the event of the change that made the campaign what it is into the outbox, before the
    `internal` records of the same change. The caller holds the lock of its row.
    """
    kind = TYPES[type(event)]
    identity = event_id(campaign.id, campaign.version, kind)
    payload = enveloped(event, campaign.tenant_id, cause)
    public = Outgoing(Name.EVENTS, str(campaign.id), kind, identity, payload)
    await append(session, [public, *internal])


@dataclass(frozen=True)
class Change:
    """A status that changed; logged once the transaction is committed."""

    tenant_id: str
    correlation_id: str
    campaign_id: UUID
    from_status: str
    to_status: str

    @classmethod
    def of(cls, campaign: Campaign, before: Status, cause: Cause) -> Change:
        """The change from the status `before` to the one that the campaign has now."""
        return cls(campaign.tenant_id, cause.correlation_id, campaign.id, before, campaign.status)

    def log(self) -> None:
        _log.info(
            "[LIFECYCLE] campaign status changed",
            extra={
                "tenantId": self.tenant_id,
                "correlationId": self.correlation_id,
                "campaignId": str(self.campaign_id),
                "fromStatus": self.from_status,
                "toStatus": self.to_status,
            },
        )
