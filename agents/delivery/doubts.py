"""The messages in doubt, as PostgreSQL has them: each is noted before its journal forgets it, and
what a person decides about a held one comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from agents.delivery.outlets.outlet import Outlet
from agents.delivery.outlets.settling import Again, Fate, Hold, Wanted
from agents.delivery.queues import Held
from streams.records.messages import decode_message
from tables.audience import doubts
from tables.audience.doubts import Resolution
from tables.database.connection import Database

_EVERY = 1.0  # seconds between two looks at what was decided


class Doubts:
    """Waits for PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, rows: Sequence[dict[str, Any]]) -> None:
        """Note doubts (`row_of`). A repeat changes nothing."""
        await self._database.until_up(lambda session: doubts.note(session, rows))

    async def follow(
        self,
        held: Callable[[], Collection[UUID]],
        resolve: Callable[[Mapping[UUID, Resolution]], None],
    ) -> None:
        """Tell what was decided about the messages that are held, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            if wanted := held():
                now = datetime.now(UTC)
                resolve(
                    await self._database.until_up(
                        lambda session: doubts.resolved(session, wanted, now)  # noqa: B023
                    )
                )


def row_of(
    held: Held, outlet: Outlet | None, fate: Fate, wanted: Wanted, now: datetime
) -> dict[str, Any]:
    """The doubt about a message, with what becomes of it: as `wanted`, unless it is too late."""
    message = decode_message(held.value)
    resolution = None
    if isinstance(fate, Again):
        resolution = Resolution(wanted)
    elif not isinstance(fate, Hold):
        resolution = Resolution.DROP if wanted == "drop" else Resolution.EXPIRED
    return {
        "message_id": UUID(message.message_id),
        "tenant_id": message.tenant_id,
        "campaign_id": UUID(message.campaign_id),
        "contact_id": UUID(message.contact_id),
        "route": "" if outlet is None else outlet.key[1],
        "at": now,
        "resolution": resolution,
        "resolved_at": None if resolution is None else now,
    }
