"""The messages that were handed over and never answered: which, by which route, and what became of
each. One that is held has no resolution until a person gives it one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from tables.database.arrays import among
from tables.database.connection import Session
from tables.models import Campaign, Doubt

#: A held one is dropped after this: Kafka keeps its content for three days.
HELD_FOR = timedelta(hours=60)


class Resolution(StrEnum):
    """The fate of a message in doubt. `repeat`: it is handed over again to a provider that knows a
    repeat, so it arrives once.
    """

    REPEAT = "repeat"
    RESEND = "resend"
    DROP = "drop"
    EXPIRED = "expired"


async def note(session: Session, doubts: Iterable[dict[str, Any]]) -> None:
    """Note doubts, each a row; the newest of a message counts. A repeat changes nothing."""
    # in one order, so that two processes never wait for each other
    rows = sorted(doubts, key=lambda row: row["message_id"])
    new = insert(Doubt).values(rows)
    columns = ("route", "at", "resolution", "resolved_at")
    changed = {column: new.excluded[column] for column in columns}
    await session.execute(new.on_conflict_do_update(index_elements=["message_id"], set_=changed))


async def resolved(
    session: Session, held: Collection[UUID], now: datetime
) -> dict[UUID, Resolution]:
    """The fates of the held messages about which that is decided, by message id. One that was held
    for too long is dropped.
    """
    mine = among(Doubt.message_id, held)
    too_old = update(Doubt).where(mine, Doubt.resolution.is_(None), Doubt.at <= now - HELD_FOR)
    await session.execute(too_old.values(resolution=Resolution.EXPIRED, resolved_at=now))
    known = select(Doubt.message_id, Doubt.resolution).where(mine, Doubt.resolution.is_not(None))
    found = await session.execute(known)
    return {message_id: Resolution(what) for message_id, what in found.all() if what is not None}


async def list_doubts(
    session: Session, campaign: Campaign, *, is_held: bool | None, limit: int, offset: int
) -> tuple[list[Doubt], int]:
    """A page of the doubts of a campaign, by message id, and how many there are. `is_held`: only
    those that wait for a person, or only the others.
    """
    mine = select(Doubt).where(
        Doubt.tenant_id == campaign.tenant_id, Doubt.campaign_id == campaign.id
    )
    if is_held is not None:
        mine = mine.where(Doubt.resolution.is_(None) if is_held else Doubt.resolution.is_not(None))
    return await session.page(mine.order_by(Doubt.message_id), limit, offset)


async def resolve(
    session: Session,
    campaign: Campaign,
    resolution: Resolution,
    message_ids: Collection[UUID] | None,
) -> int:
    """Resolve the held ones among these messages of a campaign, or all of it. Returns how many."""
    held = update(Doubt).where(
        Doubt.tenant_id == campaign.tenant_id,
        Doubt.campaign_id == campaign.id,
        Doubt.resolution.is_(None),
    )
    if message_ids is not None:
        held = held.where(among(Doubt.message_id, message_ids))
    return await session.changed(held.values(resolution=resolution, resolved_at=func.now()))
