"""The outbox: records that must reach Kafka because rows changed, written in the transaction of the
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg.rows import class_row

from streams.contracts.envelope import encode
from streams.contracts.events import event_id
from streams.records.expansions import Stage
from streams.records.sending import (
    Cancelled,
    Closed,
    LimitsChanged,
    Paused,
    PlanOpened,
    Resumed,
    RowsReady,
    SpansAdded,
    SpansReleased,
)
from streams.topics import Name
from tables.database.connection import Session
from tables.database.driver import DriverConnection

_CHANNEL = "campaigns_outbox"  # of NOTIFY; channels belong to one database
_RELAY = "hashtext('campaigns.outbox-relay')"  # the advisory lock of the process that relays
_INSERT = f"""
WITH added AS (
  INSERT INTO outbox (topic, key, type, event_id, payload)
  SELECT topic, key, type, event_id, payload
    FROM unnest(%(topics)s::text[], %(keys)s::text[], %(types)s::text[], %(ids)s::uuid[],
                %(payloads)s::bytea[])
         WITH ORDINALITY AS t(topic, key, type, event_id, payload, at)
   ORDER BY at)
SELECT pg_notify('{_CHANNEL}', '')"""
# A plain DELETE … RETURNING comes back unordered. The first row is taken whatever its size.
_CLAIM = """
WITH oldest AS (
  SELECT seq, sum(octet_length(payload)) OVER (ORDER BY seq) - octet_length(payload) AS before
    FROM (SELECT seq, payload FROM outbox ORDER BY seq LIMIT %(limit)s) AS first),
claimed AS (
  DELETE FROM outbox
   WHERE seq IN (
         SELECT seq
           FROM outbox
          WHERE seq IN (SELECT seq FROM oldest WHERE before < %(bytes)s)
          ORDER BY seq
            FOR UPDATE SKIP LOCKED)
  RETURNING *)
SELECT seq, topic, key, type, event_id AS id, payload FROM claimed ORDER BY seq"""
_REFUSE = """
INSERT INTO outbox_refused (seq, event_id, topic, key, type, payload, error)
VALUES (%(seq)s, %(id)s, %(topic)s, %(key)s, %(type)s, %(payload)s, %(error)s)"""


@dataclass(frozen=True)
class Outgoing:
    """One record: its topic without the prefix, its key, and its headers `type` (none when empty;
    of a message `delivery`) and `id`, which a repeat shares. `seq` is its place in the outbox, once
    it has one.
    """

    topic: str
    key: str
    type: str
    id: UUID
    payload: bytes
    seq: int = 0


_ToThrottle = (
    PlanOpened
    | Paused
    | Resumed
    | Cancelled
    | Closed
    | LimitsChanged
    | SpansAdded
    | RowsReady
    | SpansReleased
)


def to_throttle(record: _ToThrottle, campaign_id: UUID, version: int) -> Outgoing:
    """An internal record for the owner of the tenant. `version`, or a total that only grows, tells
    it from others of its kind.
    """
    kind = str(type(record).__struct_config__.tag)
    return Outgoing(
        Name.SENDING, record.tenant_id, "", event_id(campaign_id, version, kind), encode(record)
    )


def to_expand(record: Stage, version: int) -> Outgoing:
    """An internal record for the agent that expands the campaign."""
    campaign_id = UUID(record.campaign_id)
    return Outgoing(
        Name.EXPANSIONS,
        record.campaign_id,
        "",
        event_id(campaign_id, version, "stage"),
        encode(record),
    )


async def append(session: Session, records: Sequence[Outgoing]) -> None:
    """Publish once the transaction commits, in this order per campaign, given that the caller holds
    the lock of its row.
    """
    if records:
        await session.run(
            _INSERT,
            topics=[record.topic for record in records],
            keys=[record.key for record in records],
            types=[record.type for record in records],
            ids=[record.id for record in records],
            payloads=[record.payload for record in records],
        )


async def is_relay(connection: DriverConnection) -> bool:
    """Become the one relay of this database, for as long as the connection is open, and be notified
    of records from now on. False while another process is the relay.
    """
    cursor = await connection.execute(f"SELECT pg_try_advisory_lock({_RELAY})")
    (is_ours,) = await cursor.fetchone() or (False,)
    if is_ours:
        await connection.execute(f"LISTEN {_CHANNEL}")
    return bool(is_ours)


async def keep_relays_away(session: Session) -> bool:
    """Until the transaction ends no process becomes the relay; False when one is."""
    return bool(await session.value(f"SELECT pg_try_advisory_xact_lock({_RELAY})"))


async def claim(connection: DriverConnection, limit: int, size: int) -> list[Outgoing]:
    """Take the oldest records out of the outbox, in order: at most `limit` of them, and no more
    once their payloads have `size` bytes. A rollback puts them back.
    """
    async with connection.cursor(row_factory=class_row(Outgoing), binary=True) as cursor:
        await cursor.execute(_CLAIM, {"limit": limit, "bytes": size})
        return await cursor.fetchall()


async def refuse(connection: DriverConnection, row: Outgoing, error: str) -> None:
    """Keep a claimed record that Kafka does not take, for a person to look at."""
    await connection.execute(_REFUSE, {**asdict(row), "error": error})
