"""Soft bounces in a row: an address that fails again and again is suppressed like one that does not
exist.

The streak is not counted but read: the contact's last messages on the channel to the address that
bounced now, in the order they were sent, as the ledger has them. Its rows do not depend on order
and repeats of what was reported, so neither does this: the same message reported twice is one row,
and asking again answers the same.
Messages of which nothing is known yet, or which the provider never tried, are passed over; any
delivery, open or click ends the streak, since a row that shows one is no soft bounce.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from tables.database.connection import Session
from tables.directory.reported import suppress_recipients

REASON = "soft-bounces"
_INDEXES = "SET LOCAL enable_seqscan = off"  # a table without statistics looks small
# OFFSET 0 keeps the planner from turning a look-up of one contact's few rows into reading whole
# campaigns (74 s instead of 0.3 for 2,500).
_FAILING = """
SELECT r.id
  FROM unnest(%(bounced)s::uuid[]) AS w (id)
 CROSS JOIN LATERAL (
       SELECT id, tenant_id, contact_id, campaign_id, coalesce(address_version, 0) AS version
         FROM campaign_recipients WHERE id = w.id OFFSET 0) r
  JOIN campaigns c ON c.id = r.campaign_id
 CROSS JOIN LATERAL (
       SELECT count(*) AS known, bool_and(l.is_soft) AS all_soft
         FROM (SELECT x.status = 'bounced' AND x.delivered_at IS NULL
                      AND x.failure_reason ~ '^soft(:|$)' AS is_soft
                 FROM (SELECT * FROM campaign_recipients
                        WHERE contact_id = r.contact_id OFFSET 0) x
                 JOIN campaigns d ON d.id = x.campaign_id AND d.channel = c.channel
                WHERE x.tenant_id = r.tenant_id AND x.status NOT IN ('pending', 'sent', 'failed')
                  AND coalesce(x.address_version, 0) = r.version
                ORDER BY x.sent_at DESC NULLS LAST, x.id DESC LIMIT %(limit)s) l) AS last
 WHERE last.known = %(limit)s AND last.all_soft
"""


async def suppress_soft_bounced(session: Session, bounced: Collection[UUID], limit: int) -> None:
    """Suppress the addresses that those of these rows went to of which the contact's last `limit`
    messages to that address all bounced softly.

    To be called in the transaction that wrote the bounces. A message costs one look-up among its
    contact's messages.
    """
    if not bounced:
        return
    await session.script(_INDEXES)
    if failing := await session.values(_FAILING, bounced=list(bounced), limit=limit):
        await suppress_recipients(session, dict.fromkeys(failing, REASON))
