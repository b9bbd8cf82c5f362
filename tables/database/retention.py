"""How long rows are kept that are of no use afterwards: one rule for each table that would grow for
ever. docs/operate/retention.md shows them, and a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tables.database.connection import Session

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# A campaign that is over takes nobody in again. `updated_at` is when it ended, or later.
_IDLE_ENTRIES = """
DELETE FROM campaign_entries
 WHERE ctid = ANY (ARRAY(
       SELECT e.ctid
         FROM campaigns c, LATERAL (
              SELECT ctid FROM campaign_entries WHERE campaign_id = c.id LIMIT %(limit)s) e
        WHERE c.type = 'triggered' AND c.status IN ('completed', 'cancelled')
          AND c.updated_at <= %(before)s
        LIMIT %(limit)s))"""


@dataclass(frozen=True)
class Rule:
    """Rows of `table` go when `sql` finds them `kept` after they became useless; that is looked at
    `every` so often. The statement has the parameters `before` and `limit`.
    """

    table: str
    kept: timedelta
    sql: str
    every: timedelta

    async def remove(self, session: Session, now: datetime, limit: int) -> int:
        """Remove at most `limit` rows, the number of which is the answer."""
        return await session.run(self.sql, before=now - self.kept, limit=limit)


def _older(
    table: str, column: str, kept: timedelta = timedelta(0), every: timedelta = _HOUR
) -> Rule:
    """The rule for rows that are over when the time in a column has passed."""
    of_some = f"SELECT ctid FROM {table} WHERE {column} <= %(before)s LIMIT %(limit)s"
    return Rule(table, kept, f"DELETE FROM {table} WHERE ctid = ANY (ARRAY({of_some}))", every)


def of_audit_log(kept: timedelta) -> Rule:
    """The rule for the audit log, where one is wanted. A trigger of the database refuses to remove
    what is younger than a year.
    """
    return _older("audit_log", "at", kept)


RULES = (
    _older("answers", "expires_at", every=_MINUTE),
    _older("outbox_refused", "refused_at", 30 * _DAY),
    Rule("campaign_entries", _DAY, _IDLE_ENTRIES, every=_HOUR),
    _older("webhook_tokens", "expires_at"),
    _older("webhook_subscriptions", "asked_at", 30 * _DAY),
    _older("test_sends", "sent_at", _HOUR),
    _older("sign_in_codes", "expires_at"),
    _older("browser_sessions", "expires_at"),
    _older("doubts", "at", 30 * _DAY),
    _older("route_usage", "at", 2 * _DAY),
    _older("opt_ins", "at", 8 * _DAY),  # pipeline.events.v1 is kept for seven
)
