"""The throttle's state of each tenant: its campaigns with their cursors, the messages in flight,
and the reason why a campaign waits.

Stored as JSON in the table `sending` (key: the tenant's id), one row a tenant, so the row in the
state topic can be read as it is. A row with members that this version does not know is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from streams.contracts.envelope import Record, encode
from streams.exactly_once.state_rows import strictly
from streams.records.sending import Limits, Span
from tables.throttle.delivering import Delivering

# A plan takes less than this from its reading in SQL to its arrival here; until then limits that
# were changed by a record of their own are newer than those in the plan.
PLAN_TRAVELS = timedelta(minutes=10)
# The stub of a campaign that never opens (cancelled while its audience was made) is forgotten after
# this. A plan says what its campaign's row said, so only what happened after that reading has to be
# remembered: while the plan travels, which can be as long as `campaigns.sending.v1` keeps it.
STUB_LASTS = timedelta(days=4)

Reason = Literal[
    "audience",
    "quota",
    "not-before",
    "ab-test",
    "paused",
    "dependency-down",
    "route-limit",
    "route-down",
    "warming-up",
]


class Waiting(Record, frozen=True, forbid_unknown_fields=True):
    """The reason why a campaign that is not done gets no grant, and the earliest end of it, if that
    is known. "audience": its rows are being written.
    """

    reason: Reason
    until: datetime | None = None


class CampaignSending(Record, frozen=True, forbid_unknown_fields=True):
    """One campaign: `spans` are the ordinals left to grant, in order; rows [0, ready) exist;
    granted = sent + skipped + in flight.

    A campaign that is not open is a *stub*: its plan has not arrived, and the stub keeps the events
    that came before it (paused, cancelled, new limits, a winner). `tag` is the campaign's place in
    the fair queue: the virtual time at which its last grant ends, where a message is one unit.
    `since`: when the stub was made. `version` and `limits_version`: the versions of the campaign's
    row that `is_paused` and `limits` are of; 0 when they are unknown.
    """

    campaign_id: str = ""
    is_open: bool = False
    total: int = 0
    ready: int = 0
    spans: tuple[Span, ...] = ()
    granted: int = 0
    sent: int = 0
    skipped: int = 0
    limits: Limits | None = None
    is_paused: bool = False
    is_cancelled: bool = False
    is_sample_sent: bool = False
    waiting: Waiting | None = None
    tag: int = 0
    since: datetime | None = None
    is_endless: bool = False
    released: str | None = None  # of a stub: the variant for the recipients held back
    version: int = 0
    limits_version: int = 0
    delivering: Delivering | None = None  # of a built-in campaign

    @property
    def in_flight(self) -> int:
        """Messages granted and neither sent nor skipped yet."""
        return self.granted - self.sent - self.skipped

    @property
    def is_done(self) -> bool:
        """Nothing is left to grant, nothing in flight, and nothing can be added."""
        return (
            self.is_open
            and not self.spans
            and self.in_flight <= 0
            and (self.is_cancelled or not self.is_endless)
        )

    @property
    def is_sampled(self) -> bool:
        """The sample is out: only held spans are left, and nothing is in flight. An endless
        campaign has no sample.
        """
        return (
            self.is_open
            and self.in_flight <= 0
            and not self.is_endless
            and all(span.is_held for span in self.spans)
        )


class TenantSending(Record, frozen=True, forbid_unknown_fields=True):
    """All campaigns of a tenant that are being sent, by number.

    `wake` is when to look again if no record comes before; a hungry tenant could send more if fewer
    messages were in flight. `tag` is its place in the fair queue of tenants, `virtual` the time of
    the fair queue of its own campaigns. `limits_heard`: when its limits were last changed.
    """

    campaigns: dict[int, CampaignSending] = msgspec.field(default_factory=dict)
    limits: Limits = Limits()
    limits_heard: datetime | None = None
    wake: datetime | None = None
    is_hungry: bool = False
    tag: int = 0
    virtual: int = 0

    @property
    def in_flight(self) -> int:
        return sum(campaign.in_flight for campaign in self.campaigns.values())

    def forgets(self) -> Iterator[datetime]:
        """When limits without a campaign, and stubs, need not be remembered any more."""
        if not self.campaigns and self.limits_heard is not None:
            yield self.limits_heard + PLAN_TRAVELS
        for campaign in self.campaigns.values():
            if not campaign.is_open and campaign.since is not None:
                yield campaign.since + STUB_LASTS


encode_tenant = encode
decode_tenant = strictly(msgspec.json.Decoder(TenantSending).decode, "a tenant of the throttle")
