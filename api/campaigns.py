"""The REST routes of campaigns: each builds a command and runs it, exactly as the Kafka commands do."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response

from api.auth import Editor, Sender, Viewer
from api.json_bodies import JsonRoute
from api.presented import Live, recipient, success
from api.problems import correlation_id
from streams.command_bodies import CampaignCreate, CampaignUpdate, Explanation
from streams.commands import Command, Commanded, Verb
from streams.errors import MalformedError
from tables.sql.campaigns import Campaign, get_campaign, list_campaigns
from tables.sql.database import translated
from tables.sql.execute import run
from tables.sql.recipients import STATUSES, list_recipients
from tables.sql.tenants import Caller

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)

_KEPT = "a repeat within 24 hours gets the first answer; 1 to 128 printable ASCII characters"
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128, pattern="^[ -~]+$", description=_KEPT)]
IfMatch = Annotated[str | None, Header(alias="If-Match", description="the ETag that the campaign must still have, else 412")]
Why = Annotated[Explanation | None, Body(description="why, for the events and `statusReason`")]
CampaignId = Annotated[UUID, Path(alias="campaignId", description="the campaign's id")]


async def existing(request: Request, who: Viewer, campaign_id: CampaignId) -> Campaign:
    """The campaign of the path. Raises NotFoundError, also when it is another tenant's."""
    with translated():
        async with request.app.state.pool.acquire() as connection:
            return await get_campaign(connection, who.tenant_id, campaign_id)


Existing = Annotated[Campaign, Depends(existing)]


@router.post("", status_code=201)
async def create(
    request: Request, response: Response, who: Editor, body: CampaignCreate, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Create a draft. `scheduledAt` is kept but schedules nothing until the schedule verb."""
    return await _run(request, response, who, Verb.CREATE, None, body, idempotency_key)


@router.get("")
async def page(
    request: Request,
    who: Viewer,
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query(alias="pageSize")] = 20,
    status: str | None = None,
    channel: str | None = None,
    search: Annotated[str | None, Query(max_length=255)] = None,
) -> dict[str, Any]:
    """The tenant's campaigns, newest first, with live progress."""
    with translated():
        async with request.app.state.pool.acquire() as connection:
            found, total = await list_campaigns(
                connection, who.tenant_id, page=page, page_size=page_size, status=status, channel=channel, search=search
            )
    live = Live.of(request)
    meta = {"page": page, "pageSize": page_size, "total": total, "totalPages": -(-total // page_size)}
    return success([live.campaign(campaign) for campaign in found], meta=meta)


@router.get("/{campaignId}")
async def one(request: Request, response: Response, campaign: Existing) -> dict[str, Any]:
    """The campaign with its progress and, if it is not moving, why (`waiting`)."""
    response.headers["ETag"] = f'"{campaign.version}"'
    return success(Live.of(request).campaign(campaign))


@router.patch("/{campaignId}")
async def update(
    request: Request,
    response: Response,
    who: Editor,
    campaign_id: CampaignId,
    body: CampaignUpdate,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Change what is given. While it runs only `throttleConfig`, `name` and `description` may change; the rest is 409."""
    return await _run(request, response, who, Verb.UPDATE, campaign_id, body, idempotency_key, if_match)


@router.delete("/{campaignId}", status_code=204, response_class=Response)
async def delete(request: Request, response: Response, who: Editor, campaign_id: CampaignId, if_match: IfMatch = None) -> None:
    """Hide a campaign that is not being sent; a scheduled one is cancelled first."""
    await _run(request, response, who, Verb.DELETE, campaign_id, Explanation(), None, if_match)


def _add_verb(verb: Verb, summary: str) -> None:
    async def route(
        request: Request,
        response: Response,
        who: Sender,
        campaign_id: CampaignId,
        body: Why = None,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> dict[str, Any]:
        return await _run(request, response, who, verb, campaign_id, body or Explanation(), idempotency_key, if_match)

    router.add_api_route(f"/{{campaignId}}/{verb}", route, methods=["POST"], name=verb.value, summary=summary)


_add_verb(Verb.START, "Start now: the audience is fixed and sending begins within seconds")
_add_verb(Verb.PAUSE, "Pause: nothing more is granted; `inFlight` says how many still go out")
_add_verb(Verb.RESUME, "Resume: goes on with the next recipient, nobody is lost or repeated")
_add_verb(Verb.CANCEL, "Cancel for good: `inFlight` says how many still go out")


@router.get("/{campaignId}/stats")
async def stats(request: Request, campaign: Existing) -> dict[str, Any]:
    """Live, exact, unique counts. Rates are percent: opens and clicks of the delivered, bounces of the sent."""
    return success(Live.of(request).stats(campaign))


@router.get("/{campaignId}/recipients")
async def recipients(
    request: Request,
    campaign: Existing,
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query(alias="pageSize", description="1 to 1,000")] = 20,
    status: Annotated[str | None, Query(description=f"one of {', '.join(STATUSES)}")] = None,
    cursor: Annotated[str | None, Query(description="`meta.nextCursor` of the answer before; `page` is then ignored")] = None,
    limit: Annotated[int | None, Query(description="the same as `pageSize`")] = None,
) -> dict[str, Any]:
    """The ledger: one row per recipient with status, times and the reason of every non-send. Large lists: follow `meta.nextCursor`."""
    size = page_size if limit is None else limit
    with translated():
        async with request.app.state.pool.acquire() as connection:
            found = await list_recipients(connection, campaign, page=page, page_size=size, status=status, cursor=cursor)
    meta = {"page": page, "pageSize": size, "total": found.total, "totalPages": -(-found.total // size), "nextCursor": found.next_cursor}
    return success([recipient(row) for row in found.recipients], meta=meta)


async def _run(
    request: Request,
    response: Response,
    who: Caller,
    verb: Verb,
    campaign_id: UUID | None,
    body: Commanded,
    idempotency_key: str | None,
    if_match: str | None = None,
) -> dict[str, Any]:
    state, live = request.app.state, Live.of(request)
    command = Command(verb, who.tenant_id, correlation_id(request), campaign_id, body, who.user_id, _version(if_match))
    answer = await run(state.pool, state.settings, command, scope="rest", key=idempotency_key or "", sent=live.sent)
    shown = answer.result()
    if shown is None:
        return {}
    response.headers["ETag"] = f'"{shown["version"]}"'
    if verb in (Verb.PAUSE, Verb.CANCEL):
        shown = {**shown, "inFlight": live.in_flight(answer.number)}
    return success(shown)


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    if (tag := re.fullmatch(r'(?:W/)?"(\d{1,9})"', if_match)) is None:
        raise MalformedError('If-Match must be an ETag of this campaign, such as "3", or *.')
    return int(tag[1])
