"""The request of a command: built from path, caller and headers, and carried out exactly as Kafka's
commands are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Path, Request, Response

from api.campaigns.answers import Live, LiveSide
from api.campaigns.schemas import Campaign, StoppedCampaign
from api.http.auth import Editor, Sender, caller, is_at_least
from api.http.dependencies import Provided, Services
from api.http.idempotency import IdempotencyKey, mark_repeat
from api.http.preconditions.conditions import ToEdit, ToMake
from api.http.problems import correlation_id
from connectors.templates.subject_checks import check_subjects
from streams.contracts.bodies import Explanation
from streams.contracts.commands import Command, Commanded, Delete, Trigger, version_tag
from streams.contracts.fields import CampaignType
from tables.campaigns.occurrences import numbers_of
from tables.commands.answers import Answer
from tables.commands.execute import known_answer, run
from tables.tenants.api_keys import Caller

C = TypeVar("C", bound=Campaign)
CampaignId = Annotated[UUID, Path(alias="campaignId", description="the campaign's id")]


@dataclass(frozen=True)
class CommandRequest:
    """A request to do something to a campaign.

    `campaign_id` is None for a new one, `key` the Idempotency-Key, `versions` those of If-Match.
    """

    request: Request
    services: Services
    live: Live
    response: Response
    who: Caller
    correlation_id: str
    campaign_id: UUID | None = None
    key: str | None = None
    versions: frozenset[int] | None = None

    async def campaign(self, kind: type[Command], body: Commanded | None) -> Campaign:
        """The campaign after the command; its ETag goes into the headers. Raises the refusal."""
        answer = await self.carry_out(kind, body)
        return self.tagged(Campaign.model_validate(answer.result()))

    async def stopped(self, kind: type[Command], body: Commanded | None) -> StoppedCampaign:
        """The campaign after pause or cancel, and how many of its messages still go out."""
        answer = await self.carry_out(kind, body)
        in_flight = await self._in_flight(answer)
        shown = {**(answer.result() or {}), "inFlight": in_flight}
        return self.tagged(StoppedCampaign.model_validate(shown))

    async def is_answered(self, kind: type[Command], body: Commanded | None) -> bool:
        """Whether this is a repeat, whose answer is known."""
        return bool(self.key) and await self._recalled(self._command(kind, body)) is not None

    async def carry_out(
        self,
        kind: type[Command],
        body: Commanded | None = None,
        said: Mapping[str, Any] = MappingProxyType({}),
    ) -> Answer:
        """The answer to the command, which says this, too, if it is a new one. Raises the refusal,
        and DependencyDownError.
        """
        command = self._command(kind, body)
        check_subjects(command.body)
        services, key = self.services, self.key or ""
        if (answer := await self._first_answer(command)) is None:
            await services.sources.prepare(services.database.once, command)
            answer = await run(
                services.database,
                services.settings,
                command,
                scope="rest",
                key=key,
                sent=self.live.sent,
                said=said,
            )
        mark_repeat(self.request, answer)
        answer.result()
        return answer

    def _command(self, kind: type[Command], body: Commanded | None) -> Command:
        command = kind(
            tenant_id=self.who.tenant_id,
            correlation_id=self.correlation_id,
            campaign_id=self.campaign_id,
            body=Explanation() if body is None else body,
            actor=self.who.user_id,
            if_match=self.versions,
        )
        if isinstance(command, Delete):
            return replace(command, may_cancel=is_at_least(self.who, "sender"))
        if isinstance(command, Trigger):
            # the key identifies a trigger, and its messages carry it
            origin = self.key or self.correlation_id
            return replace(command, correlation_id=origin, is_once=self.key is not None)
        return command

    async def _first_answer(self, command: Command) -> Answer | None:
        """The answer to a repeat, which must get it although a directory service is down. Without
        such a service `run` looks it up.
        """
        if not self.key or not self.services.sources.are_used:
            return None
        return await self._recalled(command)

    async def _recalled(self, command: Command) -> Answer | None:
        recall = partial(known_answer, command=command, scope="rest", key=self.key or "")
        return await self.services.database.once(recall)

    async def _in_flight(self, answer: Answer) -> int | None:
        if not self.live.sending.ready.is_set():
            return None
        return sum(map(self.live.in_flight, await self._numbers(answer)))

    async def _numbers(self, answer: Answer) -> Sequence[int | None]:
        """The campaign's number; of a series those of its children."""
        campaign, series = answer.result() or {}, answer.campaign_id
        if campaign.get("type") != CampaignType.RECURRING:
            return [answer.number]
        if series is None:
            return ()
        async with self.services.database.transaction() as session:
            return await numbers_of(session, self.who.tenant_id, series)

    def tagged(self, shown: C) -> C:
        """The campaign, whose ETag goes into the headers."""
        self.response.headers["ETag"] = version_tag(shown.version)
        return shown


async def _request(
    request: Request,
    response: Response,
    services: Provided,
    live: LiveSide,
    who: Annotated[Caller, Depends(caller)],
) -> CommandRequest:
    return CommandRequest(request, services, live, response, who, correlation_id(request))


_Request = Annotated[CommandRequest, Depends(_request)]


async def _creating(
    _who: Editor,
    request: _Request,
    _conditions: ToMake,
    idempotency_key: IdempotencyKey = None,
) -> CommandRequest:
    return replace(request, key=idempotency_key)


async def _editing(
    _who: Editor,
    request: _Request,
    campaign_id: CampaignId,
    conditions: ToEdit,
    idempotency_key: IdempotencyKey = None,
) -> CommandRequest:
    versions = conditions.versions()
    return replace(request, campaign_id=campaign_id, key=idempotency_key, versions=versions)


async def _deleting(
    _who: Editor, request: _Request, campaign_id: CampaignId, conditions: ToEdit
) -> CommandRequest:
    return replace(request, campaign_id=campaign_id, versions=conditions.versions())


async def _sending(
    _who: Sender,
    request: _Request,
    campaign_id: CampaignId,
    conditions: ToEdit,
    idempotency_key: IdempotencyKey = None,
) -> CommandRequest:
    versions = conditions.versions()
    return replace(request, campaign_id=campaign_id, key=idempotency_key, versions=versions)


Creating = Annotated[CommandRequest, Depends(_creating)]
Editing = Annotated[CommandRequest, Depends(_editing)]
Deleting = Annotated[CommandRequest, Depends(_deleting)]
Sending = Annotated[CommandRequest, Depends(_sending)]
