"""The REST routes of campaigns: each builds a command and runs it, exactly as the Kafka commands
do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response

from api.campaigns.answers import Live, recipient, success
from api.http.auth import Editor, Sender, Viewer
from api.http.json_bodies import JsonRoute
from api.http.problems import correlation_id
from connectors.templates.subject_checks import check_subjects
from streams.contracts.bodies import CampaignCreate, CampaignUpdate, Explanation
from streams.contracts.commands import Command, Commanded, Verb
from streams.contracts.triggers import CampaignTrigger
from streams.errors import MalformedError
from tables.audience.recipients import STATUSES, list_recipients
from tables.campaigns.campaign import Campaign, get_campaign, list_campaigns
from tables.campaigns.occurrences import numbers_of
from tables.campaigns.series import Family, families
from tables.campaigns.times import RECURRING
from tables.commands.execute import known_answer, run
from tables.database.connection import Database, once
from tables.database.failures import translated
from tables.stats import materialised
from tables.tenants.tenants import Caller

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)

_KEPT = "a repeat within 24 hours gets the first answer; 1 to 128 printable ASCII characters"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=128, pattern="^[ -~]+$", description=_KEPT
    ),
]
_ETAG = r'(?:W/)?"([0-9]{1,9})"'
_STILL = "the ETag that the campaign must still have, else 412; * = any version"
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", description=_STILL, json_schema_extra={"pattern": rf"^(?:\*|{_ETAG})$"}
    ),
]
Why = Annotated[Explanation | None, Body(description="why, for the events and `statusReason`")]
CampaignId = Annotated[UUID, Path(alias="campaignId", description="the campaign's id")]


async def existing(request: Request, who: Viewer, campaign_id: CampaignId) -> Campaign:
    """The campaign of the path. Raises NotFoundError, also when it is another tenant's."""
    with translated():
        async with request.app.state.pool.acquire() as connection:
            return await get_campaign(connection, who.tenant_id, campaign_id)


Existing = Annotated[Campaign, Depends(existing)]


async def family_of(request: Request, campaign: Campaign) -> Family | None:
    """What a series shows of its children; None for any other campaign, without asking the
    database.
    """
    if campaign.type != RECURRING:
        return None
    with translated():
        async with request.app.state.pool.acquire() as connection:
            return (await families(connection, campaign.tenant_id, [campaign]))[campaign.id]


@router.post("", status_code=201)
async def create(
    request: Request,
    response: Response,
    who: Editor,
    body: CampaignCreate,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Create a draft. `scheduledAt` is kept but schedules nothing until the schedule verb."""
    return await carry_out(request, response, who, Verb.CREATE, None, body, idempotency_key)


@router.get("")
async def page(
    request: Request,
    who: Viewer,
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query(alias="pageSize")] = 20,
    status: str | None = None,
    channel: str | None = None,
    search: Annotated[str | None, Query(max_length=255)] = None,
    parent_id: Annotated[
        UUID | None,
        Query(alias="parentId", description="only the children of this recurring campaign"),
    ] = None,
) -> dict[str, Any]:
    """The tenant's campaigns, newest first, with live progress."""
    with translated():
        async with request.app.state.pool.acquire() as connection:
            filters = {"status": status, "channel": channel, "search": search}
            found, total = await list_campaigns(
                connection,
                who.tenant_id,
                page=page,
                page_size=page_size,
                **filters,
                parent_id=parent_id,
            )
            series = await families(connection, who.tenant_id, found)
    live = Live.of(request)
    meta = {
        "page": page,
        "pageSize": page_size,
        "total": total,
        "totalPages": -(-total // page_size),
    }
    return success(
        [live.campaign(campaign, series.get(campaign.id)) for campaign in found], meta=meta
    )


@router.get("/{campaignId}")
async def one(request: Request, response: Response, campaign: Existing) -> dict[str, Any]:
    """The campaign with its progress and, if it is not moving, why (`waiting`)."""
    response.headers["ETag"] = f'"{campaign.version}"'
    return success(Live.of(request).campaign(campaign, await family_of(request, campaign)))


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
    """Change what is given. While it runs only `throttleConfig`, `name` and `description` may
    change; the rest is 409.
    """
    return await carry_out(
        request, response, who, Verb.UPDATE, campaign_id, body, idempotency_key, if_match
    )


@router.delete("/{campaignId}", status_code=204, response_class=Response)
async def delete(
    request: Request,
    response: Response,
    who: Editor,
    campaign_id: CampaignId,
    if_match: IfMatch = None,
) -> None:
    """Hide a campaign that is not being sent; a scheduled one is cancelled first."""
    await carry_out(request, response, who, Verb.DELETE, campaign_id, Explanation(), None, if_match)


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
        return await carry_out(
            request,
            response,
            who,
            verb,
            campaign_id,
            body or Explanation(),
            idempotency_key,
            if_match,
        )

    router.add_api_route(
        f"/{{campaignId}}/{verb}", route, methods=["POST"], name=verb.value, summary=summary
    )


_add_verb(Verb.START, "Start now: the audience is fixed and sending begins within seconds")
_add_verb(Verb.PAUSE, "Pause: nothing more is granted; `inFlight` says how many still go out")
_add_verb(Verb.RESUME, "Resume: goes on with the next recipient, nobody is lost or repeated")
_add_verb(Verb.CANCEL, "Cancel for good: `inFlight` says how many still go out")


@router.post("/{campaignId}/trigger", status_code=202)
async def trigger(
    request: Request,
    response: Response,
    who: Sender,
    campaign_id: CampaignId,
    body: CampaignTrigger,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Send a running triggered campaign to these contacts, up to 10,000; the answer counts the
    refused ones by reason.

    The same trigger again, told by its `Idempotency-Key` or `X-Correlation-Id`, gets the first
    answer and sends nothing.
    """
    return await carry_out(request, response, who, Verb.TRIGGER, campaign_id, body, idempotency_key)


@router.get("/{campaignId}/stats")
async def stats(request: Request, campaign: Existing) -> dict[str, Any]:
    """Live, exact, unique counts. Rates are percent: opens and clicks of the delivered, bounces of
    the sent.
    """
    live = Live.of(request)
    if live.knows(campaign):
        return success(live.stats(campaign, family=await family_of(request, campaign)))
    with translated():
        async with request.app.state.pool.acquire() as connection:
            return success(live.stats(campaign, await materialised.stored(connection, campaign.id)))


@router.get("/{campaignId}/recipients")
async def recipients(
    request: Request,
    campaign: Existing,
    page: Annotated[int, Query()] = 1,
    page_size: Annotated[int, Query(alias="pageSize", description="1 to 1,000")] = 20,
    status: Annotated[str | None, Query(description=f"one of {', '.join(STATUSES)}")] = None,
    cursor: Annotated[
        str | None,
        Query(description="`meta.nextCursor` of the answer before; `page` is then ignored"),
    ] = None,
    limit: Annotated[int | None, Query(description="the same as `pageSize`")] = None,
) -> dict[str, Any]:
    """The ledger: one row per recipient with status, times and the reason of every non-send. Large
    lists: follow `meta.nextCursor`.
    """
    size = page_size if limit is None else limit
    with translated():
        async with request.app.state.pool.acquire() as connection:
            found = await list_recipients(
                connection, campaign, page=page, page_size=size, status=status, cursor=cursor
            )
    meta = {
        "page": page,
        "pageSize": size,
        "total": found.total,
        "totalPages": -(-found.total // size),
        "nextCursor": found.next_cursor,
    }
    return success([recipient(row) for row in found.recipients], meta=meta)


async def _is_known(pool: Database, command: Command, key: str | None) -> bool:
    """Whether it is a repeat, which must get its answer although a directory service is down."""
    return bool(
        key
        and await once(
            pool, lambda connection: known_answer(connection, command, scope="rest", key=key)
        )
    )


async def carry_out(
    request: Request,
    response: Response,
    who: Caller,
    verb: Verb,
    campaign_id: UUID | None,
    body: Commanded,
    idempotency_key: str | None,
    if_match: str | None = None,
) -> dict[str, Any]:
    """The answer of a verb; the ETag goes into the response's headers. Raises the refusal."""
    state, live = request.app.state, Live.of(request)
    origin = (
        idempotency_key if verb is Verb.TRIGGER and idempotency_key else correlation_id(request)
    )
    command = Command(
        verb, who.tenant_id, origin, campaign_id, body, who.user_id, _version(if_match)
    )
    check_subjects(body)
    if state.sources.are_used and not await _is_known(state.pool, command, idempotency_key):
        await state.sources.prepare(partial(once, state.pool), command)
    answer = await run(
        state.pool, state.settings, command, scope="rest", key=idempotency_key or "", sent=live.sent
    )
    if (shown := answer.result()) is None:
        return {} if answer.outcome is None else success(answer.outcome)
    response.headers["ETag"] = f'"{shown["version"]}"'
    if verb in (Verb.PAUSE, Verb.CANCEL):
        numbers = (
            [answer.number]
            if shown["type"] != RECURRING
            else await _numbers_of_children(request, who, answer.campaign_id)
        )
        shown = {
            **shown,
            "inFlight": sum(map(live.in_flight, numbers)) if live.sending.ready.is_set() else None,
        }
    return success(shown)


async def _numbers_of_children(
    request: Request, who: Caller, series_id: UUID | None
) -> Sequence[int]:
    if series_id is None:
        return ()
    with translated():
        async with request.app.state.pool.acquire() as connection:
            return await numbers_of(connection, who.tenant_id, series_id)


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    if (tag := re.fullmatch(_ETAG, if_match)) is None:
        raise MalformedError('If-Match must be an ETag of this campaign, such as "3", or *.')
    return int(tag[1])
