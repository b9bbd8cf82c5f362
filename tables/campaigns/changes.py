"""Changes of a campaign's status, as the log tells them (specification, section 6)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """A status that changed; logged once the transaction is committed."""

    tenant_id: str
    correlation_id: str
    campaign_id: UUID
    from_status: str
    to_status: str

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
