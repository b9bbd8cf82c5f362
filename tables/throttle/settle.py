"""The ends in a tenant's sending: the milestones to announce, and the campaigns to let go. Pure."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from streams.records.sending import Finished, SampleSent
from tables.throttle.clock import Clock
from tables.throttle.state import PLAN_TRAVELS, STUB_LASTS, CampaignSending, TenantSending


class Settlement(NamedTuple):
    """A tenant without the campaigns that are over (None: nothing has to be remembered of it), the
    milestones to announce, and the numbers of the campaigns that were sent or cancelled.
    """

    tenant: TenantSending | None
    milestones: tuple[SampleSent | Finished, ...] = ()
    left: tuple[int, ...] = ()


def settle(tenant_id: str, tenant: TenantSending, clock: Clock) -> Settlement:
    """Announce each milestone once, and let go of campaigns that are done, cancelled and drained,
    or were never opened.
    """
    milestones: list[SampleSent | Finished] = []
    kept, left = dict[int, CampaignSending](), list[int]()
    for number, campaign in tenant.campaigns.items():
        identity = (tenant_id, campaign.campaign_id, number)
        if campaign.is_done:
            left.append(number)
            if not campaign.is_cancelled:
                counts = campaign.sent, campaign.skipped
                milestones.append(Finished(*identity, *counts, clock.latest))
        elif not _is_old_stub(campaign, clock):
            if campaign.is_sampled and not campaign.is_sample_sent:
                milestones.append(SampleSent(*identity, clock.latest))
                campaign = replace(campaign, is_sample_sent=True)
            kept[number] = _renewed(campaign, clock)
    after = None if _is_forgettable(tenant, kept, clock) else replace(tenant, campaigns=kept)
    return Settlement(after, tuple(milestones), tuple(left))


def _renewed(campaign: CampaignSending, clock: Clock) -> CampaignSending:
    if (way := campaign.delivering) is None:
        return campaign
    after = way.renewed(campaign.granted - campaign.skipped, clock.now)
    return campaign if after is way else replace(campaign, delivering=after)


def _is_old_stub(campaign: CampaignSending, clock: Clock) -> bool:
    return (
        not campaign.is_open
        and campaign.since is not None
        and clock.now - campaign.since >= STUB_LASTS
    )


def _is_forgettable(tenant: TenantSending, kept: dict[int, CampaignSending], clock: Clock) -> bool:
    since = tenant.limits_heard
    return not kept and (since is None or clock.now - since >= PLAN_TRAVELS)
