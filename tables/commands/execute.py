"""Carries out a command, REST's or Kafka's: first answer again for a repeat, one transaction for
the change, its events and its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from streams.contracts.commands import (
    Command,
    Create,
    CreateAbTest,
    Delete,
    Resume,
    Schedule,
    Start,
    ToCampaign,
    Trigger,
    Update,
    version_tag,
)
from streams.contracts.fields import Status
from streams.errors import CampaignError, ConflictError, stale
from streams.settings import Settings
from tables.campaigns.campaign import lock_campaign, presented
from tables.campaigns.changes import Change
from tables.campaigns.lifecycle import transition
from tables.campaigns.senders import check_sender, wrong_sender
from tables.commands import answers, series_verbs, verbs
from tables.commands.answers import Answer, Identity, Refusal, Scope
from tables.commands.triggers import trigger
from tables.commands.verbs import SentSoFar, Task
from tables.database.connection import Database, Session
from tables.models import Campaign
from tables.tenants.tenants import lock_active_tenant


def nothing_known(tenant: str, number: int) -> int:
    """No live view is at hand: 0 messages sent."""
    return 0


async def run(
    database: Database,
    settings: Settings,
    command: Command,
    *,
    scope: Scope,
    key: str = "",
    sent: SentSoFar = nothing_known,
    said: Mapping[str, Any] = MappingProxyType({}),
) -> Answer:
    """`execute` in a transaction of its own; what changed is logged once it is committed.

    A refusal is an answer, too (`Answer.result` raises it). Raises DependencyDownError when
    PostgreSQL does not answer.
    """
    async with database.transaction() as session:
        answer = await execute(
            session, settings, command, scope=scope, key=key, sent=sent, said=said
        )
    for change in answer.changes:
        change.log()
    return answer


async def known_answer(
    session: Session, command: Command, *, scope: Scope, key: str
) -> Answer | None:
    """The answer to a repeat of a command; None for one that is new. Nothing is carried out."""
    return await _known(session, command, _identity(command, scope, key))


async def execute(
    session: Session,
    settings: Settings,
    command: Command,
    *,
    scope: Scope,
    key: str = "",
    sent: SentSoFar = nothing_known,
    said: Mapping[str, Any] = MappingProxyType({}),
) -> Answer:
    """Carry out a command in the caller's transaction. With a `key` (correlationId,
    Idempotency-Key) a repeat gets the first answer. `said` is what the answer says besides the
    campaign.

    Nothing of a refused command stays but the answer.
    """
    identity = _identity(command, scope, key) if key else None
    if identity is not None and (known := await _known(session, command, identity)):
        return known
    try:
        async with session.begin_nested():
            answer = await _ANSWERING[type(command)](Task(session, settings, command, sent))
        answer = replace(answer, campaign={**(answer.campaign or {}), **said}) if said else answer
    except CampaignError as error:
        answer = _refused(command, error)
    if identity is not None:
        await answers.remember(session, identity, answer, command.at)
    return answer


async def _known(session: Session, command: Command, identity: Identity) -> Answer | None:
    try:
        return await answers.recall(session, identity, command.at)
    except ConflictError as error:
        return _refused(command, error)


async def _create(task: Task[Create]) -> Answer:
    campaign = await verbs.create(task)
    return Answer(201, campaign.id, campaign.number, await _saved(task, campaign))


async def _trigger(task: Task[Trigger]) -> Answer:
    before = await _locked(task)
    return await trigger(task.session, task.settings, task.command, before)


async def _change(task: Task[ToCampaign]) -> Answer:
    command = task.command
    if isinstance(command, Start | Resume):
        # the tenant's row before the campaign's, or two starts could deadlock
        await lock_active_tenant(task.session, command.tenant_id)
    before = await _locked(task)
    handlers = series_verbs.HANDLERS if before.is_series else verbs.HANDLERS
    target = transition(before.status, command.verb)
    if isinstance(command, Schedule | Start | Resume):
        await check_sender(task.session, task.settings, before)
    after = await handlers[type(command)](task, before, target)
    change = Change.of(after, before.status, command.cause)
    changes = (*((change,) if before.status is not after.status else ()), *task.changes)
    if isinstance(command, Delete):
        return Answer(204, after.id, after.number, changes=changes)
    status = 201 if isinstance(command, CreateAbTest) else 200
    shown = await _saved(task, after) if isinstance(command, Update) else presented(after)
    return Answer(status, after.id, after.number, shown, changes=changes)


async def _saved(task: Task[Command], campaign: Campaign) -> dict[str, Any]:
    """The campaign as it is shown to its author, who is warned of a sender that it could not be
    started with: a draft may have one.
    """
    shown = presented(campaign)
    if campaign.status is Status.DRAFT:
        wrong = await wrong_sender(task.session, task.settings, campaign)
        shown["warning"] = None if wrong is None else f"{wrong.field}: {wrong.message}"
    return shown


async def _locked(task: Task[ToCampaign]) -> Campaign:
    command = task.command
    campaign = await lock_campaign(task.session, command.tenant_id, command.campaign_id)
    if command.if_match is not None and campaign.version not in command.if_match:
        raise stale(version_tag(campaign.version), "If-Match names another one.")
    return campaign


#: How each command comes to its answer; the handlers of changes are in `verbs`, `series_verbs`.
_ANSWERING: Mapping[type[Command], Callable[..., Awaitable[Answer]]] = {
    Create: _create,
    Trigger: _trigger,
    **dict.fromkeys(verbs.HANDLERS, _change),
}


def _identity(command: Command, scope: Scope, key: str) -> Identity:
    return Identity(command.tenant_id, scope, key, command.content())


def _refused(command: Command, error: CampaignError) -> Answer:
    return Answer(error.status, command.campaign_id, refusal=Refusal.of(error))
