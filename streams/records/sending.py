"""Internal records of the throttle: its input on `campaigns.sending.v1`, its grants, and the
milestones that it reports.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from streams.contracts.envelope import Record

#: Why the messages of a campaign cannot leave by its tenant's routes.
WayReason = Literal["route-limit", "route-down", "warming-up"]
# ordinals per chunk; a grant never crosses one, and lane = chunk modulo the number of grant
# partitions
CHUNK = 1000


def lane(ordinal: int, lanes: int) -> int:
    """The grants partition of an ordinal: one chunk always takes the same one, so its order and
    progress live there.
    """
    return ordinal // CHUNK % lanes


class Limits(Record, frozen=True):
    """At most so many messages in any sliding hour and day; None = no limit."""

    per_hour: int | None = None
    per_day: int | None = None


class Span(Record, frozen=True):
    """Ordinals [start, stop) of the send plan that go under the same conditions."""

    start: int
    stop: int
    variant_id: str | None = None
    not_before: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    is_held: bool = False


class PlanOpened(Record, frozen=True, tag="opened", tag_field="type"):
    """The plan of a campaign is known; none of its recipient rows is written yet. A repeat changes
    nothing. An endless campaign is added to until it is cancelled.

    The messages of a built-in one are handed over by the role `deliver`, which reports `Settled`.

    `is_paused` and `winner` (of an A/B test) are those of the campaign's row in its `version`, read
    under the row's lock: whatever came before may have been forgotten by the throttle.
    """

    tenant_id: str
    campaign_id: str
    number: int
    channel: str
    total: int
    spans: tuple[Span, ...]
    limits: Limits = Limits()
    tenant_limits: Limits = Limits()
    is_endless: bool = False
    is_paused: bool = False
    winner: str | None = None
    version: int = 0
    is_built_in: bool = False


class RowsReady(Record, frozen=True, tag="rows-ready", tag_field="type"):
    """Recipient rows [0, stop) are committed in PostgreSQL and may be granted. The highest `stop`
    wins.
    """

    tenant_id: str
    number: int
    stop: int


class Closed(Record, frozen=True, tag="closed", tag_field="type"):
    """The campaign will not be sent (cancelled or failed before it opened): forget it."""

    tenant_id: str
    number: int


class Paused(Record, frozen=True, tag="paused", tag_field="type"):
    """`version` is the campaign's row after it; 0 in records of older processes."""

    tenant_id: str
    campaign_id: str
    number: int
    version: int = 0


class Resumed(Record, frozen=True, tag="resumed", tag_field="type"):
    """`version` is the campaign's row after it; 0 in records of older processes."""

    tenant_id: str
    campaign_id: str
    number: int
    version: int = 0


class Cancelled(Record, frozen=True, tag="cancelled", tag_field="type"):
    """`version` is the campaign's row after it; nothing can come after it."""

    tenant_id: str
    campaign_id: str
    number: int
    version: int = 0


class SpansReleased(Record, frozen=True, tag="spans-released", tag_field="type"):
    """Every held span goes, with this variant (the winner of an A/B test)."""

    tenant_id: str
    number: int
    variant_id: str


class SpansAdded(Record, frozen=True, tag="spans-added", tag_field="type"):
    """A trigger appended spans; `total`, the new size of the audience, grows with each, so that a
    repeat changes nothing.
    """

    tenant_id: str
    number: int
    spans: tuple[Span, ...]
    total: int


class LimitsChanged(Record, frozen=True, tag="limits-changed", tag_field="type"):
    """New limits of a campaign, or of the tenant when `number` is None. `version` is the campaign's
    row after it; 0 for a tenant, and in records of older processes.
    """

    tenant_id: str
    limits: Limits
    number: int | None = None
    version: int = 0


class BatchSent(Record, frozen=True, tag="batch-sent", tag_field="type"):
    """Written by `emit` in the transaction of the messages; the record's own timestamp is the
    messages' timestamp.
    """

    tenant_id: str
    number: int
    sent: int
    skipped: int


class Settled(Record, frozen=True, tag="settled", tag_field="type"):
    """Written by `deliver` in the transaction that settles messages of a built-in campaign: so many
    are done with, and the number of those that are to be tried again later changes by `deferred`.
    `reason`: why messages that are there cannot leave now, until `until` if that is known.
    """

    tenant_id: str
    number: int
    settled: int = 0
    deferred: int = 0
    reason: WayReason | None = None
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Tick(Record, frozen=True, tag="tick", tag_field="type"):
    """Time has passed; sent by a timer to each owned partition that has active tenants."""


Sending = (
    PlanOpened
    | RowsReady
    | Closed
    | Paused
    | Resumed
    | Cancelled
    | SpansReleased
    | SpansAdded
    | LimitsChanged
    | BatchSent
    | Settled
    | Tick
)
decode_sending = msgspec.json.Decoder(Sending).decode


class Grant(Record, frozen=True, tag="grant", tag_field="type"):
    """Ordinals [start, stop) of one chunk may be sent now. Issuing it again is harmless: `emit`
    remembers the ordinals that it has sent.
    """

    tenant_id: str
    campaign_id: str
    number: int
    start: int
    stop: int
    variant_id: str | None = None


class Retire(Record, frozen=True, tag="retire", tag_field="type"):
    """No grant of this campaign can follow in this lane: its progress may be forgotten."""

    tenant_id: str
    number: int


decode_grant = msgspec.json.Decoder(Grant | Retire).decode


class SampleSent(Record, frozen=True, tag="sample-sent", tag_field="type"):
    """Everything that is not held has been sent or skipped: the clock of the A/B test starts."""

    tenant_id: str
    campaign_id: str
    number: int
    at: datetime


class Finished(Record, frozen=True, tag="finished", tag_field="type"):
    """Every ordinal of the campaign has been sent or skipped."""

    tenant_id: str
    campaign_id: str
    number: int
    sent: int
    skipped: int
    at: datetime


decode_milestone = msgspec.json.Decoder(SampleSent | Finished).decode
