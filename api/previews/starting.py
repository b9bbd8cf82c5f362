"""The start of a campaign, and what a dry run says of it: those who get nothing, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial

from fastapi import APIRouter

from api.campaigns.commands import Sending
from api.campaigns.routes import Why
from api.campaigns.schemas import RUNNING, Campaign
from api.http.dependencies import Services
from api.http.envelope import Schema, Success, shown_as, success
from api.http.json_bodies import JsonRoute
from api.limits.slots import COUNTS, WRITES, takes
from api.previews.subjects import counted_of, sample_of
from connectors.messages.preview import unrendered
from connectors.templates.beside import beside
from streams.contracts.commands import Start
from streams.errors import CampaignError
from streams.records.message_id import MessageIds
from tables.campaigns.campaign import get_campaign

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)
_log = logging.getLogger(__name__)


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
    "excluded": {
        "excluded-segment": 120,
        "suppressed": 40,
        "no-address": 30,
        "duplicate-address": 10,
    },
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
@takes(None)  # one of WRITES, and one of COUNTS after it: while it counts, others write
async def start(command: Sending, body: Why = None) -> Success[StartedCampaign]:
    """Start now: the audience is fixed and sending begins within seconds. `dryRun` says how many
    get it, and how many do not, by reason.
    """
    async with command.services.slots.slot(WRITES, command.who.tenant_id):
        started = await command.campaign(Start, body)
    try:
        dry_run, why = await _looked_at(command.services, started)
    except CampaignError as error:  # the start is committed, whatever becomes of the count
        _log.warning("a start cannot say who gets nothing", extra={"error": error.detail})
        return success(StartedCampaign.of_row(started, dry_run=None))
    warning = "; ".join(_warnings(dry_run, why)) or started.warning
    return success(StartedCampaign.of_row(started, dry_run=dry_run, warning=warning))


async def _looked_at(services: Services, started: Campaign) -> tuple[DryRun, str]:
    """The dry run, and what is wrong for the first contact of whom the message is not rendered.
    Raises CampaignError.
    """
    async with (
        services.slots.slot(COUNTS, started.tenant_id),
        services.database.transaction() as connection,
    ):
        campaign = await get_campaign(connection, started.tenant_id, started.id)
        counted = await counted_of(connection, campaign)
        sent, contacts = await sample_of(services, connection, campaign)
    ids = MessageIds.of(services.settings)
    failed, why = await beside(partial(unrendered, sent, contacts, ids))
    dry_run = DryRun(
        total=counted.total,
        in_segments=counted.in_segments,
        excluded=dict(counted.excluded),
        sampled=len(contacts),
        unrendered=failed,
    )
    return dry_run, why


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
