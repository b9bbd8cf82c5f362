"""The agent on `campaigns.milestones.v1`: the end of a campaign, or of its sample, as the throttle
reports it, becomes the campaign's status and its public event.

The SQL transaction comes first; killed before the Kafka position is committed, the milestone is
read again and changes nothing.
"""

from __future__ import annotations

import logging
from typing import Any, assert_never
from uuid import UUID

import msgspec

from streams.errors import NotFoundError
from streams.exactly_once.agents import Body
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.records.sending import Finished, SampleSent, decode_milestone
from streams.settings import Settings
from tables.commands import milestones as store
from tables.database.connection import Database, Session

_log = logging.getLogger(__name__)


async def record(session: Session, milestone: Finished | SampleSent) -> store.MilestoneOutcome:
    """Write one milestone. Raises NotFoundError."""
    campaign_id = UUID(milestone.campaign_id)
    match milestone:
        case Finished(sent=sent, skipped=skipped, at=at):
            return await store.finished(
                session, milestone.tenant_id, campaign_id, sent=sent, skipped=skipped, at=at
            )
        case SampleSent(at=at):
            return await store.sample_sent(session, milestone.tenant_id, campaign_id, at)
        case _:
            assert_never(milestone)


def milestones(app: App, settings: Settings) -> Body:
    """The body of the agent. While PostgreSQL is down it waits in place."""
    database = Database(settings, "campaigns-milestones", max_size=2)

    async def one(tx: Transaction, event: Any) -> None:
        try:
            milestone = decode_milestone(event.value or b"")
            reported = await database.until_up(lambda session: record(session, milestone))
        except (msgspec.DecodeError, ValueError) as error:
            tx.dead_letter(event, f"not a milestone: {type(error).__name__}", "milestone")
        except NotFoundError as error:
            tx.dead_letter(event, error.detail, "unknown-campaign")
        else:
            reported.log()

    async def body(tx: Transaction) -> None:
        for event in tx.events:
            await one(tx, event)
        crash_point("recorded", "milestones")

    return body
