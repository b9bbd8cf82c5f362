"""The agent on `campaigns.milestones.v1`: the end of a campaign, or of its sample, as the throttle
reports it, becomes the campaign's status and its public event.

The SQL transaction comes first; killed before the Kafka position is committed, the milestone is
read again and changes nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from streams.errors import NotFoundError
from streams.exactly_once.agents import Body
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.transactions import Transaction
from streams.process.app import App
from streams.records.sending import decode_milestone
from streams.settings import Settings
from tables.commands.milestones import record
from tables.database.connection import Database


def milestones(app: App, settings: Settings) -> Body:
    """The body of the agent. While PostgreSQL is down it waits in place."""
    database = Database(settings, "campaigns-milestones", max_size=2)

    async def one(tx: Transaction, event: Any) -> None:
        try:
            milestone = decode_milestone(event.value or b"")
            reported = await database.until_up(partial(record, milestone=milestone))
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
