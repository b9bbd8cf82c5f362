"""Events folded into a tenant's state, one after the other. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from streams.records.sending import (
    BatchSent,
    Cancelled,
    Closed,
    LimitsChanged,
    Paused,
    PlanOpened,
    Resumed,
    RowsReady,
    Sending,
    Span,
    SpansAdded,
    SpansReleased,
    Tick,
)
from tables.throttle.state import PLAN_TRAVELS, CampaignSending, TenantSending

_OfCampaign = (
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
)


def apply(tenant: TenantSending, event: Sending, at: datetime) -> TenantSending:
    """The tenant after one event that arrived at `at`. Repeats of all but `BatchSent` change
    nothing; pauses, cancellations, limits and winners may overtake the plan.
    """
    match event:
        case Tick():
            return tenant
        case LimitsChanged(number=None):
            return replace(tenant, limits=event.limits, limits_heard=at)
        case PlanOpened() if tenant.limits_heard is None or at - tenant.limits_heard > PLAN_TRAVELS:
            tenant = replace(tenant, limits=event.tenant_limits)
    assert event.number is not None
    campaign = _fold(tenant.campaigns.get(event.number), event, at)
    return _with_campaign(tenant, event.number, campaign)


def _with_campaign(
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


def _fold(
    campaign: CampaignSending | None, event: _OfCampaign, at: datetime
) -> CampaignSending | None:
    campaign = _stub(event, at) if campaign is None else campaign
    if campaign is None:
        return None
    match event:
        case PlanOpened():
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


def _stub(event: _OfCampaign, at: datetime) -> CampaignSending | None:
    """A stub for the first event of a campaign. None for an event that can only be late: the
    campaign has ended.
    """
    match event:
        case PlanOpened() | Paused() | Cancelled():
            return CampaignSending(event.campaign_id, since=at)
        case LimitsChanged() | SpansReleased():
            return CampaignSending(since=at)
        case _:
            return None


def _released(spans: tuple[Span, ...], variant: str | None) -> tuple[Span, ...]:
    """The held spans are released with the winner's variant; None: there is no winner yet."""
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
        if joined and _continues(joined[-1], span):
            joined[-1] = replace(joined[-1], stop=span.stop)
        else:
            joined.append(span)
    return tuple(joined)


def _continues(before: Span, span: Span) -> bool:
    is_alike = replace(before, start=span.start, stop=span.stop) == span
    return is_alike and before.stop == span.start


def _opened(stub: CampaignSending, plan: PlanOpened) -> CampaignSending:
    spans = tuple(span for span in plan.spans if span.start < span.stop)
    return replace(
        stub,
        campaign_id=plan.campaign_id,
        is_open=True,
        total=plan.total,
        spans=() if stub.is_cancelled else _released(spans, stub.released),
        limits=stub.limits or plan.limits,
        since=None,
        is_endless=plan.is_endless,
        released=None,
    )
