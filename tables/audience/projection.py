"""Recipient rows follow what is reported: facts are copied into a temporary table and merged
with one guarded update.

The update is order-independent and idempotent: the status is the highest reached, a time the
earliest reported, the failure reason that of the earliest failure. So batches may come twice, late
and in any order (design: postgres.md, "Projection of outcomes"). Opened and clicked are people's:
what comes within the machine window of sending only proves receipt, as in the counts. Whoever
unsubscribed, complained or bounced for good, or softly several times in a row, is suppressed in the
same transaction, every time that it is reported: who was let in again and unsubscribes once more
means it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from streams.records.facts import Batch, Group, Kind, unpack
from streams.records.message_id import SHARD_BITS, MessageIds
from streams.settings import Settings
from tables.audience.recipients import recipient_id
from tables.audience.soft_bounces import suppress_soft_bounced
from tables.campaigns.numbers import NumberedCampaign
from tables.database.connection import Session
from tables.directory.suppressions import suppress_recipients
from tables.models import Projection

_TABLE = """
CREATE TEMPORARY TABLE IF NOT EXISTS outcomes
  (id uuid, kind smallint, at bigint, message_id uuid, detail text) ON COMMIT DELETE ROWS
"""

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

# Kinds by their codes (facts.Kind); a machine's open proves receipt only; unsubscribed and
# complained are times beside the status.
_MERGE = f"""
WITH reported AS (
  SELECT id,
         max((ARRAY['sent', 'delivered', 'delivered', 'delivered', 'bounced', 'failed', 'pending',
                    'pending', 'delivered', 'delivered', 'failed']::recipient_status[])[kind + 1])
           AS status,
         to_timestamp(min(at) FILTER (WHERE kind = 0)) AS sent_at,
         to_timestamp(min(at) FILTER (WHERE kind = 1)) AS delivered_at,
         to_timestamp(min(at) FILTER (WHERE kind = 2)) AS opened_at,
         to_timestamp(min(at) FILTER (WHERE kind = 3)) AS clicked_at,
         array_agg(at) FILTER (WHERE kind = 2) AS opens,
         array_agg(at) FILTER (WHERE kind = 3) AS clicks,
         to_timestamp(min(at) FILTER (WHERE kind IN (4, 5, 10))) AS failed_at,
         to_timestamp(min(at) FILTER (WHERE kind = 6)) AS unsubscribed_at,
         to_timestamp(min(at) FILTER (WHERE kind = 7)) AS complained_at,
         any_value(message_id) AS message_id,  -- of a recipient there is only one
         any_value(detail) FILTER (WHERE kind = 0) AS variant_id,
         min(detail) FILTER (WHERE kind <> 0) AS reason
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
       message_id = coalesce(r.message_id, e.message_id),
       variant_id = coalesce(r.variant_id, e.variant_id)
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
     OR e.complained_at < coalesce(r.complained_at, 'infinity'))
"""

# PostgreSQL's binary COPY format: a count of fields, then length and content of each, -1 = NULL.
# The id is laid out as `recipient_id`.
_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_ROW = struct.Struct(">hi IHHHIH ihiq")
_NULL = struct.pack(">i", -1)
_NEITHER = _NULL + _NULL
_LENGTH = struct.Struct(">i")
_UUID_LENGTH = _LENGTH.pack(16)
_FAILURES = {
    Kind.BOUNCED: "",
    Kind.FAILED: "",
    Kind.SKIPPED: "skipped:",
}  # the prefix of the stored reason
_SUPPRESSING = {Kind.UNSUBSCRIBED: "unsubscribed", Kind.COMPLAINED: "complained"}


class RecipientUpdates:
    """Rows of the temporary table, collected from facts. `rows` says how many; `has_sent`, whether
    messages are going out just now.
    """

    def __init__(self, ids: MessageIds) -> None:
        self.rows, self.has_sent = 0, False
        self._ids = ids
        self._copied: list[bytes] = []
        self._failures: dict[
            tuple[int, int], dict[Kind, tuple[int, str]]
        ] = {}  # earliest of each kind
        self._suppressed: dict[tuple[int, int], str] = {}
        self._soft_bounced: set[tuple[int, int]] = set()

    def add(self, batch: Batch, campaign: NumberedCampaign) -> None:
        """What a batch says. Raises ValueError or struct.error at a malformed group, having added
        those before it.
        """
        for group in batch.groups:
            if group.kind in _FAILURES:
                self._fail(batch, group)
            elif group.kind is not Kind.REPLIED:
                self._copied.append(b"".join(self._rows(batch, group, campaign)))
                self.has_sent |= group.kind is Kind.SENT
            if reason := _reason_to_suppress(group):
                first = batch.shard << SHARD_BITS
                self._suppressed |= {
                    (batch.number, first + low): reason for low in unpack(group.ordinals)
                }
            if group.kind is Kind.BOUNCED and (group.detail or "").partition(":")[0] == "soft":
                self._soft_bounced |= {
                    (batch.number, (batch.shard << SHARD_BITS) + low)
                    for low in unpack(group.ordinals)
                }
            self.rows += len(group.ordinals) // 4

    def soft_bounced(self) -> list[UUID]:
        """Recipients whose message came back this time, by row id."""
        return [recipient_id(number, ordinal) for number, ordinal in sorted(self._soft_bounced)]

    def suppressed(self) -> dict[UUID, str]:
        """Recipients to whom nothing more may go on this channel, by row id, and why."""
        return {
            recipient_id(number, ordinal): reason
            for (number, ordinal), reason in self._suppressed.items()
        }

    def _rows(self, batch: Batch, group: Group, campaign: NumberedCampaign) -> list[bytes]:
        number, kind, first, base = batch.number, group.kind, batch.shard << SHARD_BITS, batch.base
        pairs = zip(unpack(group.ordinals), unpack(group.seconds), strict=True)
        if kind is not Kind.SENT:
            return [
                _row(number, first + low, kind, base + seconds) + _NEITHER for low, seconds in pairs
            ]
        make, tenant, epoch = self._ids.make, batch.tenant_id, campaign.key_epoch
        variant = _text(
            group.variant_id
        )  # of who was held back until it had won; the others have it in their row
        return [
            _row(number, first + low, kind, base + seconds)
            + _UUID_LENGTH
            + bytes.fromhex(make(number, first + low, tenant, epoch).replace("-", ""))
            + variant
            for low, seconds in pairs
        ]

    def _fail(self, batch: Batch, group: Group) -> None:
        reason = _FAILURES[group.kind] + (
            (group.detail or "").removeprefix(":").rstrip(":") or group.kind.name.lower()
        )
        first = batch.shard << SHARD_BITS
        for low, seconds in zip(unpack(group.ordinals), unpack(group.seconds), strict=True):
            failures, failure = (
                self._failures.setdefault((batch.number, first + low), {}),
                (batch.base + seconds, reason),
            )
            failures[group.kind] = min(failures.get(group.kind, failure), failure)

    def content(self) -> Iterator[bytes]:
        """The whole COPY, in pieces."""
        yield _HEADER
        yield from self._copied
        for (number, ordinal), failures in self._failures.items():
            earliest = min(failures.values())
            for kind, failure in failures.items():
                # the reason stands only beside the earliest time, so that the merge finds the two
                # that belong together
                yield (
                    _row(number, ordinal, kind, failure[0])
                    + _NULL
                    + _text(failure[1] if failure == earliest else None)
                )
        yield _TRAILER


def _reason_to_suppress(group: Group) -> str | None:
    """A soft bounce, such as a full mailbox, is no reason; neither is a bounce of which nobody said
    that it is hard.
    """
    if group.kind is Kind.BOUNCED:
        return "hard-bounce" if (group.detail or "").startswith("hard:") else None
    return _SUPPRESSING.get(group.kind)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _row(number: int, ordinal: int, kind: int, at: int) -> bytes:
    high, low = 0x8000 | ordinal >> 12, 0x8000 | ordinal & 0xFFF
    return _ROW.pack(5, 16, number >> 16, number & 0xFFFF, high, low, 0, 0, 2, kind, 8, at)


async def positions(session: Session, name: str, topic: str) -> dict[int, int]:
    """Partition -> offset of the next record."""
    query = select(Projection.partition, Projection.position)
    found = await session.execute(query.where(Projection.name == name, Projection.topic == topic))
    return dict(found.all())


@dataclass(frozen=True, slots=True)
class Rules:
    """What opens and clicks are a machine's (seconds from sending; 0 = none), and how many soft
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
    """Apply the updates and move the positions; answers the number of rows changed. Within the
    caller's transaction.
    """
    await session.script(_TABLE)
    await session.script(_PLAN)
    driver = await session.driver()
    async with (
        driver.cursor() as cursor,
        cursor.copy("COPY outcomes FROM STDIN (FORMAT binary)") as copy,
    ):
        for piece in updates.content():
            await copy.write(piece)
    changed = await session.run(_MERGE, window=timedelta(seconds=rules.machine_window or -1))
    if suppressed := updates.suppressed():
        await suppress_recipients(session, suppressed)
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
