"""The start of a campaign, and what a dry run says of it: those who get nothing, and why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter

from api.campaigns.commands import CampaignId, Sending
from api.campaigns.routes import Why
from api.campaigns.schemas import RUNNING, Campaign
from api.http.dependencies import Services
from api.http.envelope import Schema, Success, shown_as, success
from api.http.json_bodies import JsonRoute
from api.limits.slots import COUNTS, WRITES, takes
from api.previews.schemas import LEFT_OUT
from api.previews.subjects import counted_of, learn, sample_of
from connectors.messages.preview import unrendered
from connectors.templates.beside import beside
from streams.contracts.commands import Start
from streams.errors import CampaignError
from streams.records.message_id import MessageIds
from tables.campaigns.campaign import get_campaign
from tables.campaigns.lifecycle import transition

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)
_log = logging.getLogger(__name__)
_PATIENCE = 5  # seconds; a million contacts are counted in 1.5


class DryRun(Schema):
    """`inSegments` = `total` + all that `excluded` counts. Of `sampled` contacts of the audience
    `unrendered` would be skipped because the message cannot be rendered for them.
    """

    total: int
    in_segments: int
    excluded: dict[str, int]
    sampled: int
    unrendered: int


_DRY_RUN = {
    "total": 9800,
    "inSegments": 10000,
    "excluded": LEFT_OUT,
    "sampled": 100,
    "unrendered": 0,
}


class StartedCampaign(Campaign):
    """`dryRun`: who gets it; null when that cannot be counted in time. `warning`: a sentence when
    more than half get nothing.
    """

    model_config = shown_as({**RUNNING, "dryRun": _DRY_RUN})

    dry_run: DryRun | None = None


@router.post("/{campaignId}/start")
@takes(None)  # one of COUNTS, and one of WRITES after it: while it counts, others write
async def start(
    command: Sending, campaign_id: CampaignId, body: Why = None
) -> Success[StartedCampaign]:
    """Start now: the audience is fixed and sending begins within seconds. `dryRun` says how many
    get it, and how many do not, by reason.
    """
    is_repeat = await command.is_answered(Start, body)
    said = (
        {}
        if is_repeat
        else await _said_beforehand(command.services, command.who.tenant_id, campaign_id)
    )
    async with command.services.slots.slot(WRITES, command.who.tenant_id):
        answer = await command.carry_out(Start, body, said)
    return success(command.tagged(StartedCampaign.model_validate(answer.result())))


async def _said_beforehand(services: Services, tenant: str, campaign_id: UUID) -> dict[str, Any]:
    """The members of the answer besides the campaign; they are remembered with it, so a repeat says
    the same.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            dry_run, warnings = await _looked_at(services, tenant, campaign_id)
    except (TimeoutError, CampaignError) as error:  # no reason not to start
        _log.warning("a start cannot say who gets nothing", extra={"error": repr(error)})
        return {"dryRun": None}
    shown = {"dryRun": dry_run.model_dump(by_alias=True)}
    return {**shown, "warning": "; ".join(warnings)} if warnings else shown


async def _looked_at(
    services: Services, tenant: str, campaign_id: UUID
) -> tuple[DryRun, list[str]]:
    """The dry run, and what is to be warned about. Raises CampaignError, also for a campaign that
    cannot start.
    """
    await learn(services, tenant, campaign_id=campaign_id)
    async with (
        services.slots.slot(COUNTS, tenant),
        services.database.transaction() as session,
    ):
        campaign = await get_campaign(session, tenant, campaign_id)
        transition(campaign.status, Start.verb)
        counted = await counted_of(session, campaign)
        sent, contacts = await sample_of(services, session, campaign)
    ids = MessageIds.of(services.settings)
    failed, why = await beside(partial(unrendered, sent, contacts, ids))
    dry_run = DryRun(
        total=counted.total,
        in_segments=counted.in_segments,
        excluded=dict(counted.excluded),
        sampled=len(contacts),
        unrendered=failed,
    )
    return dry_run, list(_warnings(dry_run, why))


def _warnings(dry_run: DryRun, why: str) -> Iterator[str]:
    left_out = dry_run.in_segments - dry_run.total
    if left_out * 2 > dry_run.in_segments:
        yield (
            f"{left_out:,} of {dry_run.in_segments:,} contacts in the segments get nothing:"
            f" {_listed(dry_run.excluded)}"
        )
    if dry_run.unrendered * 2 > dry_run.sampled:
        yield (
            f"for {dry_run.unrendered:,} of {dry_run.sampled:,} contacts looked at the message"
            f" cannot be rendered, for one because of {why}"
        )


def _listed(excluded: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in excluded.items() if count)
