"""The verbs on a recurring campaign, the series: they act on it and on its children. Rows are
locked in the order tenant, series, child.

The series itself sends nothing and has no audience; tables/campaigns/occurrences.py makes its
children.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import ColumnExpressionArgument, select

from streams.contracts import events
from streams.contracts.bodies import Explanation
from streams.contracts.commands import Cancel, Explained, Pause, Resume, Schedule, Start
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import Status
from streams.contracts.recurrence import Recurrence
from streams.errors import ConflictError
from tables.campaigns.campaign import amend_campaign, change_campaign, count_running
from tables.campaigns.changes import Change
from tables.campaigns.lifecycle import transition
from tables.campaigns.occurrences import UNFINISHED, advance, numbers_of, point_to
from tables.campaigns.times import check_recurrence
from tables.commands import verbs
from tables.commands.rules import check_complete, check_directory
from tables.commands.verbs import Task
from tables.database.connection import Session
from tables.models import Campaign

E = TypeVar("E", bound=Explained)
_TICK = timedelta(microseconds=1)


async def _start(task: Task[Start], before: Campaign, target: Status) -> Campaign:
    """From now; one that was scheduled and is due, from its `scheduledAt`."""
    at = task.command.at
    check_complete(before)
    await check_directory(task.session, before)
    is_due = (
        before.status is Status.SCHEDULED
        and before.scheduled_at is not None
        and before.scheduled_at <= at
    )
    start = before.scheduled_at - _TICK if is_due and before.scheduled_at else at
    recurrence = check_recurrence(before.recurring_schedule or {}, start)
    columns = {
        "status": target,
        "started_at": at,
        "next_occurrence_at": recurrence.next(start),
        "status_reason": None,
    }
    after = await change_campaign(
        task.session, before, at, **columns, correlation_id=task.command.correlation_id
    )
    scheduled = rfc3339(after.scheduled_at) if is_due and after.scheduled_at else None
    await task.publish(after, events.Started(*after.head, 0, rfc3339(at), scheduled))
    return await _go_on(task, after)


async def _schedule(task: Task[Schedule], before: Campaign, target: Status) -> Campaign:
    after = await verbs.schedule(task, before, target)
    assert after.scheduled_at is not None
    check_recurrence(after.recurring_schedule or {}, after.scheduled_at - _TICK)
    return after


async def _pause(task: Task[Pause], before: Campaign, target: Status) -> Campaign:
    after = await task.moved(before, target)
    await task.publish(after, (await _of_all(task, after)).event(events.Paused, after))
    for child in await _children(task.session, after, Campaign.status == Status.RUNNING):
        paused = await _to_child(task, Pause, child, "series-paused")
        await amend_campaign(task.session, paused, is_paused_by_series=True)
    return after


async def _resume(task: Task[Resume], before: Campaign, target: Status) -> Campaign:
    """Goes on with the children that pausing the series has paused. Occurrences that came due
    meanwhile are skipped.
    """
    at, limit = task.command.at, task.settings.max_running
    children = await _children(
        task.session, before, Campaign.status == Status.PAUSED, Campaign.is_paused_by_series
    )
    count = await count_running(task.session, before.tenant_id, resumed=len(children))
    if children and count + len(children) > limit:
        raise ConflictError(
            f"{count} campaigns of this tenant are running and {len(children)} of this series would"
            f" go on; the limit is {limit} running campaigns per tenant."
        )
    after = await task.moved(before, target)
    await task.publish(after, (await _of_all(task, after)).event(events.Resumed, after))
    for child in children:
        await _to_child(task, Resume, child, None)
    for child in await _children(
        task.session, after, Campaign.status == Status.SCHEDULED, Campaign.scheduled_at <= at
    ):
        await _to_child(task, Cancel, child, "series-paused")
    if after.next_occurrence_at is not None and after.next_occurrence_at <= at:
        after = await point_to(
            task.session, after, Recurrence.stored(after.recurring_schedule or {}).next(at)
        )
    return await _go_on(task, after)


async def _cancel(task: Task[Cancel], before: Campaign, target: Status) -> Campaign:
    for child in await _children(task.session, before, Campaign.status.in_(UNFINISHED)):
        await _to_child(task, Cancel, child, "series-cancelled")
    after = await task.moved(before, target)
    await task.publish(after, (await _of_all(task, after)).event(events.Cancelled, after))
    return after


HANDLERS: verbs.Handlers = {
    **verbs.HANDLERS,
    Schedule: _schedule,
    Start: _start,
    Pause: _pause,
    Resume: _resume,
    Cancel: _cancel,
}


async def _go_on(task: Task[Explained], series: Campaign) -> Campaign:
    advanced = await advance(task.session, task.settings, series, task.command.at)
    task.changes.extend(advanced.changes)
    return advanced.series


async def _to_child(
    task: Task[Explained], kind: type[Explained], child: Campaign, reason: str | None
) -> Campaign:
    """The same as a person would do to the child, with the person's reason or else ours."""
    given = task.command
    command = kind(
        tenant_id=given.tenant_id,
        correlation_id=given.correlation_id,
        campaign_id=child.id,
        body=Explanation(reason=given.body.reason or reason),
        at=given.at,
    )
    own = Task(task.session, task.settings, command, task.sent, task.changes)
    after = await verbs.HANDLERS[kind](own, child, transition(child.status, kind.verb))
    task.changes.append(Change.of(after, child.status, command.cause))
    return after


async def _of_all(task: Task[E], series: Campaign) -> Task[E]:
    """The task with a live view in which the series has sent what its children have."""
    numbers = await numbers_of(task.session, series.tenant_id, series.id)
    return replace(
        task, sent=lambda tenant, _: sum(task.sent(tenant, number) for number in numbers)
    )


async def _children(
    session: Session, series: Campaign, *which: ColumnExpressionArgument[bool]
) -> Sequence[Campaign]:
    """The children that are not deleted and for which the conditions hold, oldest first, locked."""
    children = select(Campaign).where(
        Campaign.tenant_id == series.tenant_id,
        Campaign.parent_id == series.id,
        Campaign.deleted_at.is_(None),
        *which,
    )
    return await session.every(children.order_by(Campaign.number).with_for_update(key_share=True))
