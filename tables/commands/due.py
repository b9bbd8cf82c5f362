"""Starting what is due: each campaign in a transaction on locked rows (tenant, series, campaign),
so that two schedulers start it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from streams.contracts import events
from streams.contracts.bodies import Explanation
from streams.contracts.commands import Command, Verb
from streams.contracts.envelope import rfc3339
from streams.settings import Settings
from tables.campaigns.campaign import Campaign, count_running, lock_campaign, of_row
from tables.campaigns.occurrences import advance
from tables.campaigns.times import RECURRING, max_lateness
from tables.commands.answers import Change
from tables.commands.execute import execute
from tables.commands.verbs import SentSoFar
from tables.database.connection import Connection
from tables.database.outbox import append, lifecycle
from tables.tenants.tenants import lock_tenant

Outcome = Literal["started", "waiting", "missed", "superseded", "failed", "gone"]
_LONGEST_REASON = 200
# Children of a series that is paused wait for it.
_OPEN = """
  FROM campaigns c LEFT JOIN campaigns s ON s.id = c.parent_id AND s.tenant_id = c.tenant_id
 WHERE c.status = 'scheduled' AND c.deleted_at IS NULL AND (c.parent_id IS NULL OR s.status = 'running')"""
_RUNNING = "(SELECT count(*) FROM campaigns r WHERE r.tenant_id = c.tenant_id AND r.status = 'running' AND r.type <> 'recurring')"


@dataclass(frozen=True)
class Due:
    """A campaign whose time has come. `is_waiting`: it has been met before, when too many campaigns
    of its tenant were running.
    """

    id: UUID
    tenant_id: str
    parent_id: UUID | None
    is_waiting: bool


@dataclass(frozen=True)
class Settled:
    """What became of it, and what is to be logged once that is committed."""

    outcome: Outcome
    changes: tuple[Change, ...] = ()

    def log(self) -> None:
        for change in self.changes:
            change.log()


async def due_campaigns(
    connection: Connection, settings: Settings, at: datetime, limit: int = 10_000
) -> list[Due]:
    """The longest due first. One that waits for room is among them only if there is some."""
    rows = await connection.fetch(
        f"SELECT c.id, c.tenant_id, c.parent_id, c.waits_below IS NOT NULL AS is_waiting {_OPEN} AND c.scheduled_at <= $1"
        f" AND (c.waits_below IS NULL OR {_RUNNING} < $2) ORDER BY c.scheduled_at, c.id LIMIT $3",
        *(at, settings.max_running, limit),
    )
    return [Due(**row) for row in rows]


async def next_due(connection: Connection) -> datetime | None:
    """When the next campaign is due, the past included; one that waits for room counts only if
    there is some.
    """
    statement = f"SELECT c.scheduled_at {_OPEN} AND (c.waits_below IS NULL OR {_RUNNING} < c.waits_below) ORDER BY c.scheduled_at LIMIT 1"
    found: datetime | None = await connection.fetchval(statement)
    return found


async def settle(
    connection: Connection, settings: Settings, due: Due, at: datetime, sent: SentSoFar
) -> Settled:
    """Start it, or say why not: no room (it waits), missed by more than `maxLateness`, superseded
    by a later occurrence, or impossible.

    "gone": somebody else has settled or holds it.
    """
    await lock_tenant(connection, due.tenant_id)
    made: tuple[Change, ...] = ()
    if due.parent_id is not None:
        if (series := await _running_series(connection, due)) is None:
            return Settled("gone")
        made = (await advance(connection, settings, series, at)).changes
    if (campaign := await _claimed(connection, due, at)) is None:
        return Settled("gone", made)
    settled = await _settled(connection, settings, campaign, at, sent)
    return Settled(settled.outcome, (*made, *settled.changes))


async def _settled(
    connection: Connection, settings: Settings, campaign: Campaign, at: datetime, sent: SentSoFar
) -> Settled:
    if campaign.type != RECURRING:  # the occurrences of a series are judged, not its beginning
        if await _is_superseded(connection, campaign, at):
            return await _give_up(connection, settings, campaign, "missed-occurrence", at, sent)
        assert campaign.scheduled_at is not None
        if campaign.waits_below is None and at - campaign.scheduled_at > max_lateness(campaign):
            return await _give_up(connection, settings, campaign, "missed-schedule", at, sent)
        if await count_running(connection, campaign.tenant_id) >= settings.max_running:
            await connection.execute(
                "UPDATE campaigns SET waits_below = $2 WHERE id = $1",
                campaign.id,
                settings.max_running,
            )
            return Settled("waiting")
    command = Command(Verb.START, campaign.tenant_id, _correlation_id(campaign), campaign.id, at=at)
    answer = await execute(connection, settings, command, scope="command", sent=sent)
    if answer.refusal is None:
        return Settled("started", answer.changes)
    return await _give_up(
        connection, settings, campaign, f"cannot-start: {answer.refusal.detail}", at, sent
    )


async def _give_up(
    connection: Connection,
    settings: Settings,
    campaign: Campaign,
    reason: str,
    at: datetime,
    sent: SentSoFar,
) -> Settled:
    """Cancel it, and beside the event of that say that the engine, not a person, did."""
    reason = "".join(character if character.isprintable() else " " for character in reason)[
        :_LONGEST_REASON
    ]
    correlation_id = _correlation_id(campaign)
    command = Command(
        Verb.CANCEL,
        campaign.tenant_id,
        correlation_id,
        campaign.id,
        Explanation(reason=reason),
        at=at,
    )
    answer = await execute(connection, settings, command, scope="command", sent=sent)
    answer.result()  # it is scheduled and locked, so nothing can refuse this
    after = await lock_campaign(connection, campaign.tenant_id, campaign.id)
    named = (str(after.id), after.name, after.channel, rfc3339(at))
    event: events.Alert | events.Failed
    if reason == "missed-schedule":
        detail = f"It was due at {rfc3339(after.scheduled_at or at)} and nothing could start it until now; nobody will get it."
        event = events.Alert(*named, reason, detail)
    elif reason == "missed-occurrence":
        return Settled("superseded", answer.changes)
    else:
        event = events.Failed(*named, 0, reason)
    await append(
        connection, [lifecycle(event, after.tenant_id, after.id, after.version, correlation_id, at)]
    )
    return Settled("missed" if reason == "missed-schedule" else "failed", answer.changes)


async def _running_series(connection: Connection, due: Due) -> Campaign | None:
    statement = "SELECT * FROM campaigns WHERE tenant_id = $1 AND id = $2 AND status = 'running' FOR NO KEY UPDATE"
    row = await connection.fetchrow(statement, due.tenant_id, due.parent_id)
    return None if row is None else of_row(row)


async def _claimed(connection: Connection, due: Due, at: datetime) -> Campaign | None:
    """The row, if it is still scheduled and due, and nobody is at it: who is will decide, or leave
    it to the next run.
    """
    row = await connection.fetchrow(
        "SELECT * FROM campaigns WHERE tenant_id = $1 AND id = $2 AND status = 'scheduled' AND deleted_at IS NULL AND scheduled_at <= $3"
        " FOR NO KEY UPDATE SKIP LOCKED",
        *(due.tenant_id, due.id, at),
    )
    return None if row is None else of_row(row)


async def _is_superseded(connection: Connection, campaign: Campaign, at: datetime) -> bool:
    """Whether a later occurrence of its series has come due, too: of several missed ones only the
    latest is sent.
    """
    if campaign.parent_id is None or campaign.occurrence_at is None:
        return False
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM campaigns WHERE tenant_id = $1 AND parent_id = $2 AND occurrence_at > $3 AND scheduled_at <= $4"
            " AND (status <> 'cancelled' OR started_at IS NOT NULL))",
            *(campaign.tenant_id, campaign.parent_id, campaign.occurrence_at, at),
        )
    )


def _correlation_id(campaign: Campaign) -> str:
    """The same in a repeat."""
    return str(events.event_id(campaign.id, campaign.version, "campaign-scheduler"))
