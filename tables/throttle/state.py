"""What the throttle knows of each tenant: its campaigns with their cursors, what is in flight, and
why one waits.

Stored as JSON in the table `sending` (key: the tenant's id), one row a tenant, so the row in the
state topic can be read as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, assert_never

import msgspec
from msgspec.structs import replace

from streams.contracts.envelope import Record, encode
from streams.records.sending import (
    CHUNK,
    BatchSent,
    Cancelled,
    Closed,
    Finished,
    Limits,
    LimitsChanged,
    Opened,
    Paused,
    Resumed,
    RowsReady,
    SampleSent,
    Sending,
    Span,
    SpansAdded,
    SpansReleased,
    Tick,
)

# Longer than any plan is under way between its reading in SQL and its arrival here; until then what
# was heard directly is newer.
_PLAN_TRAVELS = timedelta(minutes=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A change heard of a campaign that never opens (cancelled while scheduled, edited as a draft) is
# forgotten after this.
_STUB_LASTS = timedelta(days=1)

_FEWEST_IN_FLIGHT = 4 * CHUNK

Reason = Literal["audience", "quota", "not-before", "ab-test", "paused", "dependency-down"]


class Waiting(Record, frozen=True):
    """Why a campaign that is not done gets no grant, and until when at least, if that is known.
    "audience": its rows are being written.
    """

    reason: Reason
    until: datetime | None = None


class CampaignSending(Record, frozen=True):
    """One campaign: `spans` is what is left to grant, in order; rows [0, ready) exist; granted =
    sent + skipped + in flight.

    A *stub* (not open) remembers what overtook the plan. `tag` is its place in fair queueing:
    messages granted, in virtual time.
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
    released: str | None = None  # of a stub: the variant that those held back are to get

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
        """What is left to grant is held, and nothing in flight. An endless campaign has no sample."""
        return (
            self.is_open
            and self.in_flight <= 0
            and not self.is_endless
            and all(span.is_held for span in self.spans)
        )


class TenantSending(Record, frozen=True):
    """All campaigns of a tenant that are being sent, by number.

    `wake` is when to look again if nothing is heard before; a hungry tenant could send more if less
    were in flight. `tag` and `virtual` are its place in the fair queue of tenants and the time of
    its campaigns' own.
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
        """When something that is only remembered may go: limits without a campaign, and stubs."""
        if not self.campaigns and self.limits_heard is not None:
            yield self.limits_heard + _PLAN_TRAVELS
        for campaign in self.campaigns.values():
            if not campaign.is_open and campaign.since is not None:
                yield campaign.since + _STUB_LASTS


class Clock(Record, frozen=True):
    """Time as one partition has heard it, so that a replay decides the same; `virtual` is the time
    of the tenants' fair queue.

    `now` follows the records of the control and expand workers. The feedback of an emit worker
    counts at its own time but does not move `now`, except that it is never more than an hour
    behind: else a worker whose clock is fast would make the others' quota return early.
    """

    now: datetime = _EPOCH
    latest: datetime = _EPOCH
    virtual: int = 0
    # the latest Unix second of feedback, how many messages were done in it, and in the second
    # before
    second: int = 0
    done: int = 0
    done_before: int = 0

    def heard(self, event: Sending, at: datetime, hour: timedelta) -> Clock:
        """The clock after a record with this timestamp. Kafka refuses timestamps more than an hour
        ahead of the broker's own.
        """
        if not isinstance(event, BatchSent):
            now = max(self.now, at)
            return replace(self, now=now, latest=max(self.latest, now))
        now, second, count = (
            max(self.now, at - hour),
            int(at.timestamp()),
            event.sent + event.skipped,
        )
        if second > self.second:
            before = self.done if second == self.second + 1 else 0
            return replace(
                self,
                now=now,
                latest=max(self.latest, at, now),
                second=second,
                done=count,
                done_before=before,
            )
        return replace(self, now=now, latest=max(self.latest, at, now), done=self.done + count)

    def cap(self, most: int) -> int:
        """How many messages of this partition's tenants may be in flight: what emission does in a
        second, so that a pause acts within one.

        Never more than `most`. From a few chunks it grows as long as they come back in less than a
        second.
        """
        return min(most, max(_FEWEST_IN_FLIGHT, self.done, self.done_before))


encode_tenant = encode_clock = encode
decode_clock = msgspec.json.Decoder(Clock).decode
decode_tenant = msgspec.json.Decoder(TenantSending).decode


def apply(tenant: TenantSending, event: Sending, at: datetime) -> TenantSending:
    """Fold one event, heard at `at`. Repeats of all but `BatchSent` change nothing; lifecycle,
    limits and release may overtake the plan.
    """
    match event:
        case Tick():
            return tenant
        case LimitsChanged(number=None):
            return replace(tenant, limits=event.limits, limits_heard=at)
        case Opened() if tenant.limits_heard is None or at - tenant.limits_heard > _PLAN_TRAVELS:
            tenant = replace(tenant, limits=event.tenant_limits)
    assert event.number is not None
    return with_campaign(tenant, event.number, _fold(tenant.campaigns.get(event.number), event, at))


def with_campaign(
    tenant: TenantSending, number: int, campaign: CampaignSending | None
) -> TenantSending:
    """The tenant with this campaign put in, or taken out if None."""
    if tenant.campaigns.get(number) is campaign:
        return tenant
    campaigns = dict(tenant.campaigns)
    if campaign is None:
        del campaigns[number]
    else:
        campaigns[number] = campaign
    return replace(tenant, campaigns=campaigns)


class Settled(NamedTuple):
    """A tenant without what is over, what there is to announce, and the campaigns that left."""

    tenant: TenantSending | None
    milestones: tuple[SampleSent | Finished, ...] = ()
    left: tuple[int, ...] = ()


def settle(tenant_id: str, tenant: TenantSending, clock: Clock) -> Settled:
    """Announce what has been reached, once, and let go of campaigns that are done, cancelled and
    drained, or never opened.

    The tenant is None when nothing has to be remembered of it.
    """
    milestones: list[SampleSent | Finished] = []
    kept, left = {}, []
    for number, campaign in tenant.campaigns.items():
        identity = (tenant_id, campaign.campaign_id, number)
        if campaign.is_done:
            left.append(number)
            if not campaign.is_cancelled:
                milestones.append(
                    Finished(*identity, campaign.sent, campaign.skipped, clock.latest)
                )
            continue
        if (
            not campaign.is_open
            and campaign.since is not None
            and clock.now - campaign.since >= _STUB_LASTS
        ):
            continue
        if campaign.is_sampled and not campaign.is_sample_sent:
            milestones.append(SampleSent(*identity, clock.latest))
            campaign = replace(campaign, is_sample_sent=True)
        kept[number] = campaign
    if not kept and (
        tenant.limits_heard is None or clock.now - tenant.limits_heard >= _PLAN_TRAVELS
    ):
        return Settled(None, tuple(milestones), tuple(left))
    return Settled(replace(tenant, campaigns=kept), tuple(milestones), tuple(left))


_OfCampaign = (
    Opened
    | RowsReady
    | Closed
    | Paused
    | Resumed
    | Cancelled
    | SpansReleased
    | SpansAdded
    | LimitsChanged
    | BatchSent
)


def _fold(
    campaign: CampaignSending | None, event: _OfCampaign, at: datetime
) -> CampaignSending | None:
    if campaign is None:
        campaign = _first_heard(event, at)
    if campaign is None:
        return None
    match event:
        case Opened():
            return campaign if campaign.is_open else _opened(campaign, event)
        case RowsReady():
            return campaign if event.stop <= campaign.ready else replace(campaign, ready=event.stop)
        case Paused():
            return replace(campaign, is_paused=True)
        case Resumed():
            return replace(campaign, is_paused=False)
        case Closed() if not campaign.is_open:
            return None
        case Cancelled() | Closed():
            return replace(campaign, is_cancelled=True, spans=())
        case LimitsChanged():
            return replace(campaign, limits=event.limits)
        case SpansReleased() if not campaign.is_open:
            return replace(campaign, released=campaign.released or event.variant_id)
        case SpansReleased():
            return replace(campaign, spans=_released(campaign.spans, event.variant_id))
        case SpansAdded() if campaign.is_cancelled or event.total <= campaign.total:
            return campaign
        case SpansAdded():
            return replace(
                campaign, spans=_appended(campaign.spans, event.spans), total=event.total
            )
        case BatchSent():
            return replace(
                campaign, sent=campaign.sent + event.sent, skipped=campaign.skipped + event.skipped
            )
        case _:
            assert_never(event)


def _first_heard(event: _OfCampaign, at: datetime) -> CampaignSending | None:
    """A stub for what must be remembered; everything else about an unknown campaign comes too late
    and is nothing to us.
    """
    match event:
        case Opened() | Paused() | Cancelled():
            return CampaignSending(event.campaign_id, since=at)
        case LimitsChanged() | SpansReleased():
            return CampaignSending(since=at)
        case _:
            return None


def _released(spans: tuple[Span, ...], variant: str | None) -> tuple[Span, ...]:
    """Nothing is held any more, unless nobody has won."""
    if variant is None:
        return spans
    return tuple(
        replace(span, is_held=False, variant_id=variant) if span.is_held else span for span in spans
    )


def _appended(spans: tuple[Span, ...], added: tuple[Span, ...]) -> tuple[Span, ...]:
    """Spans that meet under the same conditions become one: else a campaign triggered a million
    times while paused has as many.
    """
    joined = list(spans)
    for span in added:
        if (
            joined
            and replace(joined[-1], start=span.start, stop=span.stop) == span
            and joined[-1].stop == span.start
        ):
            joined[-1] = replace(joined[-1], stop=span.stop)
        else:
            joined.append(span)
    return tuple(joined)


def _opened(stub: CampaignSending, plan: Opened) -> CampaignSending:
    return replace(
        stub,
        campaign_id=plan.campaign_id,
        is_open=True,
        total=plan.total,
        spans=()
        if stub.is_cancelled
        else _released(tuple(span for span in plan.spans if span.start < span.stop), stub.released),
        limits=stub.limits or plan.limits,
        since=None,
        is_endless=plan.is_endless,
        released=None,
    )
