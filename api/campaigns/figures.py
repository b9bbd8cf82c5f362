"""The REST routes of a campaign's figures: its counts, and its ledger of recipients."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.campaigns.answers import LiveSide
from api.campaigns.figure_schemas import Ledger, LedgerMeta, Recipient, Stats
from api.campaigns.routes import Existing, family_of
from api.http.dependencies import Provided, Transaction
from api.http.envelope import Success, success
from api.http.json_bodies import JsonRoute
from tables.audience.recipients import list_recipients
from tables.models.audience import RecipientStatus
from tables.stats import materialised

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)
_NEXT = "`meta.nextCursor` of the answer before; `page` is then ignored"


@router.get("/{campaignId}/stats")
async def stats(services: Provided, live: LiveSide, campaign: Existing) -> Success[Stats]:
    """Live, exact, unique counts. Rates are percent: opens and clicks of the delivered, bounces of
    the sent.
    """
    if live.knows(campaign):
        return success(live.stats(campaign, family=await family_of(services, campaign)))
    async with services.database.reading() as session:
        return success(live.stats(campaign, await materialised.stored(session, campaign.id)))


@router.get("/{campaignId}/recipients")
async def recipients(
    campaign: Existing,
    transaction: Transaction,
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query(alias="pageSize", description="1 to 1,000")] = 20,
    status: Annotated[str | None, Query(description=f"one of {', '.join(RecipientStatus)}")] = None,
    cursor: Annotated[str | None, Query(description=_NEXT)] = None,
    limit: Annotated[int | None, Query(description="the same as `pageSize`")] = None,
) -> Ledger:
    """The ledger: one row per recipient with status, times and the reason of every non-send. Large
    lists: follow `meta.nextCursor`.
    """
    size = page_size if limit is None else limit
    found = await list_recipients(
        transaction, campaign, page=page, page_size=size, status=status, cursor=cursor
    )
    meta = LedgerMeta(
        page=page,
        page_size=size,
        total=found.total,
        total_pages=-(-found.total // size),
        next_cursor=found.next_cursor,
    )
    return Ledger(data=[Recipient.of_row(row) for row in found.recipients], meta=meta)
