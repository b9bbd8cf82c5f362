"""How long rows are kept that are of no use afterwards: one rule for each table that would grow for
ever. docs/operate/retention.md shows them, and a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tables.database.connection import Session

_EXPIRED_ANSWERS = """
DELETE FROM answers
 WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM answers WHERE expires_at <= %(before)s LIMIT %(limit)s))"""
_OLD_REFUSALS = """
DELETE FROM outbox_refused
 WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM outbox_refused WHERE refused_at <= %(before)s LIMIT %(limit)s))"""
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
_EXPIRED_TOKENS = """
DELETE FROM webhook_tokens
 WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM webhook_tokens WHERE expires_at <= %(before)s LIMIT %(limit)s))"""
_OLD_SUBSCRIPTIONS = """
DELETE FROM webhook_subscriptions
 WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM webhook_subscriptions WHERE asked_at <= %(before)s LIMIT %(limit)s))"""
_OLD_TEST_SENDS = """
DELETE FROM test_sends
 WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM test_sends WHERE sent_at <= %(before)s LIMIT %(limit)s))"""


@dataclass(frozen=True)
class Rule:
    """Rows of `table` go when `sql` finds them `kept` after they became useless; that is looked at
    `every` so often. The statement has the parameters `before` and `limit`.
    """

    table: str
    kept: timedelta
    sql: str
    every: timedelta = timedelta(minutes=1)

    async def remove(self, session: Session, now: datetime, limit: int) -> int:
        """Remove at most `limit` rows, the number of which is the answer."""
        return await session.run(self.sql, before=now - self.kept, limit=limit)


_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
RULES = (
    Rule("answers", timedelta(0), _EXPIRED_ANSWERS),
    Rule("outbox_refused", 30 * _DAY, _OLD_REFUSALS, every=_HOUR),
    Rule("campaign_entries", _DAY, _IDLE_ENTRIES, every=_HOUR),
    Rule("webhook_tokens", timedelta(0), _EXPIRED_TOKENS, every=_HOUR),
    Rule("webhook_subscriptions", 30 * _DAY, _OLD_SUBSCRIPTIONS, every=_HOUR),
    Rule("test_sends", _HOUR, _OLD_TEST_SENDS, every=_HOUR),
)
