"""The rule of the housekeeping for answers, carried out at a time of the test's own."""

from __future__ import annotations

from datetime import datetime

from tables.database.connection import Session
from tables.database.retention import RULES


async def forget_expired(session: Session, at: datetime, limit: int = 10_000) -> int:
    """Remove at most `limit` answers whose time is over; how many were removed."""
    [rule] = [rule for rule in RULES if rule.table == "answers"]
    return await rule.remove(session, at, limit)
