"""Message events, the NATS messages `campaign.message.*`: their fields. The bridge writes them by
template.

On Kafka they are batches on `campaigns.outcomes.v1`, as streams/records/facts.py describes them.
"""

from __future__ import annotations

from typing import Literal, get_args

from streams.contracts.envelope import Record
from streams.records.reported_events import IncomingType


class MessageEvent(Record, frozen=True):
    """The first occurrence of a kind for a recipient. `is_machine` belongs to opened and clicked (a
    scanner or a proxy, then perhaps a person: two messages), `url` to clicked, `bounce_type` and
    `reason` to bounced, `reason` to failed and skipped.
    """

    campaign_id: str
    message_id: str
    recipient_number: int
    at: str
    channel: str
    variant_id: str | None = None
    is_machine: bool | None = None
    url: str | None = None
    bounce_type: Literal["hard", "soft"] | None = None
    reason: str | None = None


# What emission establishes, around what is reported.
KINDS = ("sent", *get_args(IncomingType), "skipped")
