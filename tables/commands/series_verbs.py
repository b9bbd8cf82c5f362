"""The verbs on a recurring campaign, the series: they act on it and on its children. Rows are
locked in the order tenant, series, child.

The series itself sends nothing and nobody expands it; tables/campaigns/occurrences.py makes its
children.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import ColumnExpressionArgument, select

from streams.contracts import events
from streams.contracts.bodies import Explanation
from streams.contracts.commands import Verb
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

_TICK = timedelta(microseconds=1)


async def _start(task: Task, before: Campaign, target: Status) -> Campaign:
    """From now; one that was scheduled and is due, from its `scheduledAt`."""
    at = task.command.at
    check_complete(before)
    await check_directory(task.connection, before)
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
        task.connection, before, at, **columns, correlation_id=task.command.correlation_id
    )
    scheduled = rfc3339(after.scheduled_at) if is_due and after.scheduled_at else None
    await task.publish(after, events.Started(*after.head, 0, rfc3339(at), scheduled))
    return await _go_on(task, after)


async def _schedule(task: Task, before: Campaign, target: Status) -> Campaign:
    after = await verbs.CHANGES[Verb.SCHEDULE](task, before, target)
    assert after.scheduled_at is not None
    check_recurrence(after.recurring_schedule or {}, after.scheduled_at - _TICK)
    return after


async def _pause(task: Task, before: Campaign, target: Status) -> Campaign:
    after = await task.moved(before, target)
    await task.publish(after, (await _of_all(task, after)).event(events.Paused, after))
    for child in await _children(task.connection, after, Campaign.status == Status.RUNNING):
        paused = await _to_child(task, Verb.PAUSE, child, "series-paused")
        await amend_campaign(task.connection, paused, is_paused_by_series=True)
    return after


async def _resume(task: Task, before: Campaign, target: Status) -> Campaign:
    """Goes on with the children that pausing the series has paused. What came due meanwhile is
    skipped.
    """
    at, limit = task.command.at, task.settings.max_running
    children = await _children(
        task.connection, before, Campaign.status == Status.PAUSED, Campaign.is_paused_by_series
    )
    if (
        children
        and (count := await count_running(task.connection, before.tenant_id)) + len(children)
        > limit
    ):
        raise ConflictError(
            f"{count} campaigns of this tenant are running"
            f" and {len(children)} of this series would go on;"
            f" the limit is {limit} running campaigns per tenant."
        )
    after = await task.moved(before, target)
    await task.publish(after, (await _of_all(task, after)).event(events.Resumed, after))
    for child in children:
        await _to_child(task, Verb.RESUME, child, None)
    for child in await _children(
        task.connection, after, Campaign.status == Status.SCHEDULED, Campaign.scheduled_at <= at
    ):
        await _to_child(task, Verb.CANCEL, child, "series-paused")
    if after.next_occurrence_at is not None and after.next_occurrence_at <= at:
        after = await point_to(
            task.connection, after, Recurrence.stored(after.recurring_schedule or {}).next(at)
        )
    return await _go_on(task, after)


async def _cancel(task: Task, before: Campaign, target: Status) -> Campaign:
    for child in await _children(task.connection, before, Campaign.status.in_(UNFINISHED)):
        await _to_child(task, Verb.CANCEL, child, "series-cancelled")
    after = await task.moved(before, target)
    await task.publish(after, (await _of_all(task, after)).event(events.Cancelled, after))
    return after


CHANGES: Mapping[Verb, Callable[[Task, Campaign, Status], Awaitable[Campaign]]] = {
    **verbs.CHANGES,
    Verb.SCHEDULE: _schedule,
    Verb.START: _start,
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.CANCEL: _cancel,
}


async def _go_on(task: Task, series: Campaign) -> Campaign:
    advanced = await advance(task.connection, task.settings, series, task.command.at)
    task.changes.extend(advanced.changes)
    return advanced.series


async def _to_child(task: Task, verb: Verb, child: Campaign, reason: str | None) -> Campaign:
    """The same verb as a person would use, with the person's reason or else ours."""
    body = task.command.body
    given = body.reason if isinstance(body, Explanation) else None
    command = replace(
        task.command,
        verb=verb,
        campaign_id=child.id,
        body=Explanation(reason=given or reason),
        if_match=None,
    )
    after = await verbs.CHANGES[verb](
        replace(task, command=command), child, transition(child.status, verb)
    )
    task.changes.append(Change.of(after, child.status, command.cause))
    return after


async def _of_all(task: Task, series: Campaign) -> Task:
    """The task with a live view in which the series has sent what its children have."""
    numbers = await numbers_of(task.connection, series.tenant_id, series.id)
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
