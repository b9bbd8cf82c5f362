"""Campaigns of which too many people complain are paused: the counts at the last pause, and the
pause itself, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from streams.contracts.bodies import Explanation
from streams.contracts.commands import Command, Verb
from streams.contracts.envelope import rfc3339
from streams.contracts.events import Alert
from streams.exactly_once.crash_points import crash_point
from streams.settings import Settings
from tables.campaigns.campaign import Campaign, lock_campaign
from tables.commands.answers import Answer
from tables.commands.execute import execute
from tables.database.connection import Connection
from tables.database.outbox import append, lifecycle

REASON = "complaint-rate"
_RUNNING = """
SELECT c.id, c.tenant_id, c.number, coalesce(p.delivered, 0) AS delivered, coalesce(p.complained, 0) AS complained
  FROM campaigns c LEFT JOIN complaint_pauses p ON p.campaign_id = c.id
 WHERE c.status = 'running' ORDER BY c.number"""
_REMEMBER = """
INSERT INTO complaint_pauses (campaign_id, tenant_id, delivered, complained, paused_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (campaign_id) DO UPDATE
   SET delivered = excluded.delivered, complained = excluded.complained, paused_at = excluded.paused_at"""


@dataclass(frozen=True, slots=True)
class Counted:
    """Messages delivered, and the people among them who complained."""

    delivered: int
    complained: int

    def since(self, before: Counted) -> Counted:
        return Counted(self.delivered - before.delivered, self.complained - before.complained)

    def is_too_many(self, percent: float, min_delivered: int) -> bool:
        """More than `percent` of the delivered, once there are `min_delivered`; exactly as many is
        not too many.
        """
        return self.delivered >= min_delivered and self.complained * 100 > percent * self.delivered


@dataclass(frozen=True, slots=True)
class Watched:
    """A running campaign, and the counts at which it was last paused: it is judged by what came
    after them, since somebody resumed it.
    """

    id: UUID
    tenant_id: str
    number: int
    before: Counted


async def running(connection: Connection) -> list[Watched]:
    """Every running campaign of every tenant."""
    rows = await connection.fetch(_RUNNING)
    return [
        Watched(
            row["id"], row["tenant_id"], row["number"], Counted(row["delivered"], row["complained"])
        )
        for row in rows
    ]


async def pause(
    connection: Connection,
    settings: Settings,
    watched: Watched,
    now: Counted,
    at: datetime,
    sent: Mapping[int, int],
) -> Answer:
    """Pause it with the reason `complaint-rate` and publish an alert, in the caller's transaction.

    Safe twice at once: the second one waits for the row, finds the campaign paused, and is refused.
    `sent`: messages so far, by number.
    """
    correlation_id = f"{REASON}:{watched.number}:{now.complained}"
    command = Command(
        Verb.PAUSE, watched.tenant_id, correlation_id, watched.id, Explanation(reason=REASON), at=at
    )
    answer = await execute(
        connection, settings, command, scope="command", sent=lambda _, number: sent.get(number, 0)
    )
    if answer.refusal is None:
        campaign = await lock_campaign(connection, watched.tenant_id, watched.id)
        await connection.execute(
            _REMEMBER, watched.id, watched.tenant_id, now.delivered, now.complained, at
        )
        alert = lifecycle(
            _alert(campaign, now.since(watched.before), settings, at),
            watched.tenant_id,
            watched.id,
            campaign.version,
            correlation_id,
            at,
        )
        await append(connection, [alert])
    crash_point("before-commit", "complaints")
    return answer


def _alert(campaign: Campaign, counted: Counted, settings: Settings, at: datetime) -> Alert:
    rate = f"{counted.complained * 100 / counted.delivered:.2f} %"
    detail = f"{counted.complained:,} of {counted.delivered:,} delivered complained ({rate}); the limit is {settings.complaint_rate_limit:g} %."
    return Alert(str(campaign.id), campaign.name, campaign.channel, rfc3339(at), REASON, detail)
