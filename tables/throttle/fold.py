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
    Settled,
    Span,
    SpansAdded,
    SpansReleased,
    Tick,
)
from tables.throttle.delivering import Delivering
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
    | Settled
)


def apply(tenant: TenantSending, event: Sending, at: datetime) -> TenantSending:
    """The tenant after one event that arrived at `at`. Repeats of all but `BatchSent` and `Settled`
    change nothing; pauses, cancellations, limits and winners may overtake the plan.
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
        case Paused() | Resumed():
            return _moved(campaign, event.version, is_paused=isinstance(event, Paused))
        case Closed() if not campaign.is_open:
            return None
        case Cancelled() | Closed():
            return replace(campaign, is_cancelled=True, spans=())
        case LimitsChanged():
            return replace(campaign, limits=event.limits, limits_version=event.version)
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
            way = campaign.delivering
            return replace(
                campaign,
                sent=campaign.sent + event.sent,
                skipped=campaign.skipped + event.skipped,
                delivering=None if way is None else way.sent(at),
            )
        case Settled() if campaign.delivering is None:
            return campaign
        case Settled():
            return replace(campaign, delivering=campaign.delivering.after(event, at))
        case _:
            assert_never(event)


def _stub(event: _OfCampaign, at: datetime) -> CampaignSending | None:
    """A stub for the first event of a campaign. None for an event that can only be late: the
    campaign has ended.
    """
    match event:
        case PlanOpened() | Paused() | Cancelled():
            return CampaignSending(event.campaign_id, since=at)
        case Resumed() if event.version:  # newer, perhaps, than a plan that says paused
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


def _moved(campaign: CampaignSending, version: int, *, is_paused: bool) -> CampaignSending:
    """Paused or resumed, unless the plan, which overtook the event, knew more already."""
    if 0 < version <= campaign.version:
        return campaign
    return replace(campaign, is_paused=is_paused, version=version)


def _opened(stub: CampaignSending, plan: PlanOpened) -> CampaignSending:
    """The newer of plan and stub counts: records on their way from the outbox may be older than the
    row that the plan was made of. A stub without versions is an older process's, and is kept.
    """
    spans = tuple(span for span in plan.spans if span.start < span.stop)
    is_newer = stub.version > plan.version or (stub.is_paused and not stub.version)
    keeps_limits = stub.limits is not None and (
        stub.limits_version > plan.version or not stub.limits_version
    )
    return replace(
        stub,
        campaign_id=plan.campaign_id,
        is_open=True,
        total=plan.total,
        spans=() if stub.is_cancelled else _released(spans, stub.released or plan.winner),
        limits=stub.limits if keeps_limits else plan.limits,
        limits_version=stub.limits_version if keeps_limits else plan.version,
        is_paused=stub.is_paused if is_newer else plan.is_paused,
        version=max(stub.version, plan.version),
        since=None,
        is_endless=plan.is_endless,
        released=None,
        delivering=Delivering() if plan.is_built_in else None,
    )
