"""The verbs of the lifecycle: each is a row change with its outbox records, in the transaction of
the caller, on a row it has locked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import UNSET
from pydantic.alias_generators import to_camel

from streams.contracts import events
from streams.contracts.commands import (
    Cancel,
    Command,
    Create,
    CreateAbTest,
    DeclareWinner,
    Delete,
    Explained,
    Pause,
    Resume,
    Schedule,
    Start,
    Update,
)
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import ACTIVE, Status
from streams.errors import CampaignError, FieldError, ForbiddenError, broken
from streams.records.expansions import Stage
from streams.records.sending import Cancelled, LimitsChanged, Paused, Resumed
from streams.settings import Settings
from tables.campaigns import ab_tests
from tables.campaigns.campaign import change_campaign, insert_campaign
from tables.campaigns.changes import Change, publish
from tables.campaigns.contents import fix_contents
from tables.campaigns.lifecycle import check_editable
from tables.campaigns.senders import check_sender
from tables.campaigns.times import check_recurrence, instant_of
from tables.commands.rules import (
    changed_columns,
    check_columns,
    check_complete,
    check_directory,
    check_room,
    columns_of,
    of_type,
)
from tables.commands.triggers import opened
from tables.database.connection import Session
from tables.database.outbox import Outgoing, append, to_expand, to_throttle
from tables.models import Campaign
from tables.tenants.routes import has_any
from tables.tenants.tenants import get_tenant, lock_active_tenant

SentSoFar = Callable[
    [str, int], int
]  # (tenant, campaign number) -> messages sent, from a live view
C_co = TypeVar("C_co", bound=Command, covariant=True)
M = TypeVar("M", events.Paused, events.Resumed, events.Cancelled)


@dataclass(frozen=True)
class Task(Generic[C_co]):
    """One command, and what is needed to carry it out. `changes` of other campaigns on the way are
    logged after the commit.
    """

    session: Session
    settings: Settings
    command: C_co
    sent: SentSoFar
    changes: list[Change] = field(default_factory=list)

    async def publish(
        self, campaign: Campaign, event: events.LifecycleEvent, *internal: Outgoing
    ) -> None:
        await publish(self.session, campaign, event, self.command.cause, *internal)

    async def moved(self: Task[Explained], before: Campaign, target: Status) -> Campaign:
        """The campaign in its new status, with the caller's reason."""
        reason = self.command.body.reason
        columns = {
            "status": target,
            "status_reason": reason,
            "is_paused_by_series": False,
            "is_paused_by_suspension": False,
        }
        return await change_campaign(self.session, before, self.command.at, **columns)

    def event(self: Task[Explained], kind: type[M], campaign: Campaign) -> M:
        """The event of a campaign that has moved, with the caller's reason if there is one."""
        sent, reason = self.sent(campaign.tenant_id, campaign.number), self.command.body.reason
        return kind(*campaign.head, rfc3339(self.command.at), sent, reason or UNSET)


async def create(task: Task[Create]) -> Campaign:
    """A draft. Raises CampaignError, for an unknown tenant NotFoundError, and for a suspended one
    TenantSuspendedError.
    """
    command, body = task.command, task.command.body
    if command.actor is None:
        raise broken(FieldError("createdBy", "is needed"))
    await lock_active_tenant(task.session, command.tenant_id)
    columns = await check_columns(
        task.session,
        command.tenant_id,
        body.channel,
        columns_of(body, command.at),
        command.extra,
    )
    owner = {"tenant_id": command.tenant_id, "created_by": command.actor}
    campaign = await insert_campaign(
        task.session, **columns, **owner, created_at=command.at, updated_at=command.at
    )
    await ab_tests.write_variants(task.session, campaign)
    event = events.Created(*campaign.head, campaign.type, str(campaign.created_by))
    await task.publish(campaign, event)
    return campaign


async def _update(task: Task[Update], before: Campaign, target: Status) -> Campaign:
    columns = columns_of(task.command.body, task.command.at, before.timezone)
    return await _change(task, before, columns)


async def _change(task: Task[Command], before: Campaign, columns: Mapping[str, Any]) -> Campaign:
    """Store what differs, if it may be and the campaign's status allows it."""
    command = task.command
    channel = str(columns.get("channel", before.channel))
    if channel != before.channel:  # what depends on the channel is checked against the new one
        dependent = ("settings", "template_id", "ab_test_config")
        columns = {**{name: getattr(before, name) for name in dependent}, **columns}
    check_editable(before.status, frozenset(changed_columns(before, columns)))
    columns = {**of_type(before, columns), **columns}
    columns = changed_columns(
        before,
        await check_columns(task.session, command.tenant_id, channel, columns, command.extra),
    )
    if not columns:
        return before
    if before.status is Status.SCHEDULED and columns.get("scheduled_at"):
        _check_future(columns["scheduled_at"], command.at)
        columns["waits_below"] = None
    after = await change_campaign(task.session, before, command.at, **columns)
    if columns.keys() & {"template_id", "ab_test_config"}:
        await ab_tests.write_variants(task.session, after)
    if after.status is Status.SCHEDULED:
        check_complete(after)
        if columns.keys() & {"settings", "channel"}:  # else it may be put off while DNS is mended
            await check_sender(task.session, task.settings, after)
        if after.scheduled_at is None:
            raise broken(FieldError("scheduledAt", "a scheduled campaign needs it"))
        if after.is_series and after.recurring_schedule is not None:
            check_recurrence(after.recurring_schedule, after.scheduled_at)
    internal = []
    if "throttle_config" in columns and after.status in ACTIVE and not after.is_series:
        limits = LimitsChanged(
            tenant_id=after.tenant_id,
            number=after.number,
            limits=after.limits,
            version=after.version,
        )
        internal.append(to_throttle(limits, after.id, after.version))
    fields = tuple(sorted(to_camel(name) for name in columns if name != "waits_below"))
    await task.publish(after, events.Updated(*after.head, fields), *internal)
    return after


async def _create_ab_test(task: Task[CreateAbTest], before: Campaign, target: Status) -> Campaign:
    """Replaces the test that it had. The errors of variants are named as in the command's body."""
    try:
        return await _change(task, before, {"ab_test_config": task.command.body.stored()})
    except CampaignError as error:
        if not error.errors:
            raise
        raise broken(
            *(
                FieldError(one.field.removeprefix("abTestConfig."), one.message)
                for one in error.errors
            )
        ) from error


async def _declare_winner(task: Task[DeclareWinner], before: Campaign, target: Status) -> Campaign:
    variant, actor = task.command.body.variant_id, task.command.actor
    return await ab_tests.declare(task.session, before, variant, actor, task.command.cause)


async def schedule(task: Task[Schedule], before: Campaign, target: Status) -> Campaign:
    """The campaign with its time. Raises CampaignError for one in the past."""
    command, body = task.command, task.command.body
    zone = body.timezone or before.timezone or "UTC"
    scheduled_at = instant_of(body.scheduled_at, zone, "scheduledAt")
    _check_future(scheduled_at, command.at)
    check_complete(before)
    columns = {
        "status": target,
        "scheduled_at": scheduled_at,
        "timezone": zone,
        "status_reason": None,
        "waits_below": None,
    }
    after = await change_campaign(task.session, before, command.at, **columns)
    await task.publish(after, events.Scheduled(*after.head, rfc3339(scheduled_at), zone))
    return after


def _check_future(scheduled_at: datetime, at: datetime) -> None:
    if scheduled_at <= at:
        raise broken(
            FieldError("scheduledAt", "must be in the future; start the campaign to send it now")
        )


async def _start(task: Task[Start], before: Campaign, target: Status) -> Campaign:
    """`campaign.started` follows when the audience is known (tables/audience/staging.py)."""
    command = task.command
    check_complete(before)
    await check_directory(task.session, before)
    await check_room(task.session, task.settings, before.tenant_id)
    await task.session.run("SELECT ensure_recipient_partitions(%(number)s)", number=before.number)
    await fix_contents(task.session, before.id)
    started = {
        "status": target,
        "started_at": command.at,
        "key_epoch": task.settings.key_epoch,
        "has_link_tokens": True,
        "is_built_in": await has_any(task.session, task.settings, before.tenant_id, before.channel),
    }
    origin = {"correlation_id": command.correlation_id, "status_reason": None, "waits_below": None}
    if before.is_triggered:
        return await _open(
            task,
            await change_campaign(
                task.session, before, command.at, **started, **origin, total_recipients=0
            ),
        )
    after = await change_campaign(task.session, before, command.at, **started, **origin)
    stage = Stage(
        tenant_id=after.tenant_id,
        campaign_id=str(after.id),
        number=after.number,
        correlation_id=command.correlation_id,
    )
    await append(task.session, [to_expand(stage, after.version)])
    return after


async def _open(task: Task[Start], after: Campaign) -> Campaign:
    """A triggered campaign is open at once: it has no audience to be made, triggers add to it."""
    tenant = await get_tenant(task.session, after.tenant_id)
    scheduled = rfc3339(after.scheduled_at) if after.scheduled_at else None
    event = events.Started(*after.head, 0, rfc3339(task.command.at), scheduled)
    await task.publish(
        after, event, to_throttle(opened(after, tenant.limits), after.id, after.version)
    )
    return after


async def _pause(task: Task[Pause], before: Campaign, target: Status) -> Campaign:
    after = await task.moved(before, target)
    await task.publish(after, task.event(events.Paused, after), _record(Paused, after))
    return after


async def _resume(task: Task[Resume], before: Campaign, target: Status) -> Campaign:
    await check_room(task.session, task.settings, before.tenant_id, resumed=1)
    after = await task.moved(before, target)
    await task.publish(after, task.event(events.Resumed, after), _record(Resumed, after))
    return after


async def _cancel(task: Task[Cancel | Delete], before: Campaign, target: Status) -> Campaign:
    after = await task.moved(before, target)
    has_started = before.status is not Status.SCHEDULED  # else the throttle has never heard of it
    internal = [_record(Cancelled, after)] if has_started else []
    await task.publish(after, task.event(events.Cancelled, after), *internal)
    return after


def _record(kind: type[Paused | Resumed | Cancelled], after: Campaign) -> Outgoing:
    record = kind(
        tenant_id=after.tenant_id,
        campaign_id=str(after.id),
        number=after.number,
        version=after.version,
    )
    return to_throttle(record, after.id, after.version)


async def _delete(task: Task[Delete], before: Campaign, target: Status) -> Campaign:
    command = task.command
    if target is not before.status:
        if not command.may_cancel:
            raise ForbiddenError(
                "Deleting a scheduled campaign cancels it, and cancelling needs the role sender."
            )
        before = await _cancel(task, before, target)
    after = await change_campaign(task.session, before, command.at, deleted_at=command.at)
    await task.publish(after, events.Deleted(*after.head, rfc3339(command.at)))
    return after


#: A handler takes the command's task, the locked campaign, and its status afterwards.
Handlers = Mapping[type[Command], Callable[..., Awaitable[Campaign]]]
HANDLERS: Handlers = {
    Update: _update,
    Schedule: schedule,
    Start: _start,
    Pause: _pause,
    Resume: _resume,
    Cancel: _cancel,
    Delete: _delete,
    CreateAbTest: _create_ab_test,
    DeclareWinner: _declare_winner,
}
