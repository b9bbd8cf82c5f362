"""Recipient rows follow what is reported: facts are copied into a temporary table and merged
with one guarded update.

The update is order-independent and idempotent: the status is the highest reached, a time the
earliest reported, the failure reason that of the earliest failure. So batches may come twice, late
and in any order. Opened and clicked are people's: an event within the machine window of sending
only proves receipt, as in the counts. Recipients that unsubscribed, complained or bounced for good,
or softly several times in a row, are suppressed in the same transaction, every time that it is
reported: a person who was let in again and unsubscribes once more means it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from streams.records.facts import Kind
from streams.settings import Settings
from tables.audience.recipient_updates import RecipientUpdates
from tables.audience.soft_bounces import suppress_soft_bounced
from tables.database.connection import Session
from tables.directory.opt_ins import standing
from tables.directory.reported import suppress_recipients
from tables.models import Projection

_TABLE = """
CREATE TEMPORARY TABLE IF NOT EXISTS outcomes
  (id uuid, kind smallint, at bigint, message_id uuid, detail text, address_version integer)
    ON COMMIT DELETE ROWS
"""

_COPY = "COPY outcomes FROM STDIN (FORMAT binary)"

# Only the index path is right: a hash join would read every recipient there is, and the planner
# knows nothing about a temporary table.
_PLAN = (
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL work_mem = '64MB'"
)

# in the row, or with the batch, since the sent fact is in the log before what it is compared with
_WINDOW = "%(window)s::interval"
_SENT = "least(r.sent_at, e.sent_at)"
# The first of these times that is no machine's. Only when the very first one is within the window,
# the others are looked at.
_OPENED, _CLICKED = (
    f"CASE WHEN (e.{first} BETWEEN {_SENT} - {_WINDOW} AND {_SENT} + {_WINDOW}) IS NOT TRUE"
    f" THEN e.{first} ELSE first_by_people(e.{every}, {_SENT}, {_WINDOW}) END"
    for first, every in (("opened_at", "opens"), ("clicked_at", "clicks"))
)

# The status that a kind proves; a machine's open proves receipt only. Other kinds are times beside
# the status.
_PROVES = {
    Kind.SENT: "sent",
    Kind.DELIVERED: "delivered",
    Kind.OPENED: "delivered",
    Kind.CLICKED: "delivered",
    Kind.MACHINE_OPENED: "delivered",
    Kind.MACHINE_CLICKED: "delivered",
    Kind.BOUNCED: "bounced",
    Kind.FAILED: "failed",
    Kind.SKIPPED: "failed",
}
_STATUSES = ", ".join(f"'{_PROVES.get(kind, 'pending')}'" for kind in sorted(Kind))


def _of(*kinds: Kind) -> str:
    return f"FILTER (WHERE kind IN ({', '.join(str(kind.value) for kind in kinds)}))"


_MERGE = f"""
WITH reported AS (
  SELECT id,
         max((ARRAY[{_STATUSES}]::recipient_status[])[kind + 1]) AS status,
         to_timestamp(min(at) {_of(Kind.SENT)}) AS sent_at,
         to_timestamp(min(at) {_of(Kind.DELIVERED)}) AS delivered_at,
         to_timestamp(min(at) {_of(Kind.OPENED)}) AS opened_at,
         to_timestamp(min(at) {_of(Kind.CLICKED)}) AS clicked_at,
         array_agg(at) {_of(Kind.OPENED)} AS opens,
         array_agg(at) {_of(Kind.CLICKED)} AS clicks,
         to_timestamp(min(at) {_of(Kind.BOUNCED, Kind.FAILED, Kind.SKIPPED)}) AS failed_at,
         to_timestamp(min(at) {_of(Kind.UNSUBSCRIBED)}) AS unsubscribed_at,
         to_timestamp(min(at) {_of(Kind.COMPLAINED)}) AS complained_at,
         to_timestamp(min(at) {_of(Kind.ACCEPTED)}) AS accepted_at,
         any_value(message_id) AS message_id,  -- of a recipient there is only one
         any_value(detail) {_of(Kind.SENT)} AS variant_id,
         any_value(address_version) AS address_version,
         min(detail) FILTER (WHERE kind <> {Kind.SENT.value}) AS reason
    FROM outcomes GROUP BY id ORDER BY id
)
UPDATE campaign_recipients r
   SET status = greatest(r.status, e.status,
                         CASE WHEN {_CLICKED} IS NOT NULL THEN 'clicked'
                              WHEN {_OPENED} IS NOT NULL THEN 'opened' END::recipient_status),
       sent_at = least(r.sent_at, e.sent_at),
       delivered_at = least(r.delivered_at, e.delivered_at),
       opened_at = least(r.opened_at, {_OPENED}),
       clicked_at = least(r.clicked_at, {_CLICKED}),
       failure_reason = CASE WHEN (e.failed_at, e.reason) < (coalesce(r.failed_at, 'infinity'),
                                                             coalesce(r.failure_reason, ''))
                             THEN e.reason ELSE r.failure_reason END,
       failed_at = least(r.failed_at, e.failed_at),
       unsubscribed_at = least(r.unsubscribed_at, e.unsubscribed_at),
       complained_at = least(r.complained_at, e.complained_at),
       accepted_at = least(r.accepted_at, e.accepted_at),
       message_id = coalesce(r.message_id, e.message_id),
       variant_id = coalesce(r.variant_id, e.variant_id),
       address_version = coalesce(e.address_version, r.address_version)
  FROM reported e
 WHERE r.id = e.id
   AND (e.status > r.status
     OR e.sent_at < coalesce(r.sent_at, 'infinity')
     OR e.delivered_at < coalesce(r.delivered_at, 'infinity')
     OR {_OPENED} < coalesce(r.opened_at, 'infinity')
     OR {_CLICKED} < coalesce(r.clicked_at, 'infinity')
     OR (e.failed_at, e.reason)
        < (coalesce(r.failed_at, 'infinity'), coalesce(r.failure_reason, ''))
     OR e.unsubscribed_at < coalesce(r.unsubscribed_at, 'infinity')
     OR e.complained_at < coalesce(r.complained_at, 'infinity')
     OR e.accepted_at < coalesce(r.accepted_at, 'infinity'))
"""


async def positions(session: Session, name: str, topic: str) -> dict[int, int]:
    """Partition -> offset of the next record."""
    query = select(Projection.partition, Projection.position)
    found = await session.execute(query.where(Projection.name == name, Projection.topic == topic))
    return dict(found.all())


async def forget_positions(session: Session) -> None:
    """Every projection reads its topics from their beginnings: after Kafka was restored, positions
    are those of topics that are gone. Reading facts again changes nothing.
    """
    await session.execute(delete(Projection))


@dataclass(frozen=True, slots=True)
class Rules:
    """Which opens and clicks are a machine's (seconds from sending; 0 = none), and how many soft
    bounces in a row suppress an address.
    """

    machine_window: int = 0
    soft_bounce_limit: int = 5

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        return cls(int(settings.machine_window.total_seconds()), settings.soft_bounce_limit)


async def merge(
    session: Session,
    updates: RecipientUpdates,
    name: str,
    topic: str,
    reached: Mapping[int, int],
    rules: Rules = Rules(),
) -> int:
    """Apply the updates and move the positions, in the caller's transaction. Returns the number of
    rows changed.
    """
    await session.script(_TABLE)
    await session.script(_PLAN)
    driver = await session.driver()
    async with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        for piece in updates.content():
            await copy.write(piece)
    changed = await session.run(_MERGE, window=timedelta(seconds=rules.machine_window or -1))
    if suppressed := updates.suppressed():
        await suppress_recipients(session, await standing(session, suppressed, updates.said()))
    await suppress_soft_bounced(session, updates.soft_bounced(), rules.soft_bounce_limit)
    if reached:
        places = [
            {"name": name, "topic": topic, "partition": partition, "position": position}
            for partition, position in sorted(reached.items())
        ]
        moved = insert(Projection).values(places)
        await session.execute(
            moved.on_conflict_do_update(
                index_elements=[Projection.name, Projection.topic, Projection.partition],
                set_={"position": moved.excluded.position},
            )
        )
    return changed
