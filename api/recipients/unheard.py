"""Complaints, unsubscriptions and STOPs of webhooks that cannot be used: each is an error in the
log, a dead letter and a metric, never just an answer.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime

from connectors.webhooks.delivery import Unheard
from streams import metrics
from streams.records.dead_letters import dead_letter

_log = logging.getLogger(__name__)
_SENTENCES = {
    "without-id": "says no to a message without our id",
    "foreign-id": "says no to a message that is none of this tenant's",
    "no-recipient": "says no to a message whose recipient is not known",
    "no-address": "says no, and its sender has no address of this channel",
    "no-contact": "says no by an id of WhatsApp that no contact is known to have",
    "unreadable": "says no, and is not in the provider's format",
}


def dead_letters(
    tenant: str, provider: str, unheard: Sequence[Unheard], at: datetime
) -> list[tuple[bytes, bytes]]:
    """Keys and values. The source is the webhook's address, with a digest of the element for an
    offset, so that a repeat has the same key.
    """
    return [
        dead_letter(
            f"the webhook {_SENTENCES[one.code]}",
            one.code,
            f"webhooks/{provider}/{tenant}",
            0,
            int(hashlib.sha256(one.content).hexdigest()[:13], 16),  # as large as JSON can hold
            int(at.timestamp() * 1000),
            one.content,
        )
        for one in unheard
    ]


def sound(tenant: str, provider: str, unheard: Sequence[Unheard]) -> None:
    """Log and count them. Their content is in the dead letter only."""
    for one in unheard:
        metrics.UNHEARD.labels(provider).inc()
        metrics.DEAD_LETTERS.labels("webhooks", one.code).inc()
        _log.error(
            "a complaint, unsubscription or STOP could not be used: see the dead letter",
            extra={"tenantId": tenant, "provider": provider, "reason": one.code},
        )
