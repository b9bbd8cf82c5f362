"""Opting in again: START, UNSTOP and a subscription resumed with a provider lift what the same way
had set, never a complaint, a bounce or a person's own entry.

The way is the provider that reported the no. Times are those of the person, so that a repeat which
comes late changes nothing that was said after it: a START lifts only what was said before, and a no
from before the START suppresses nothing again, whichever of webhook and projection brings it. For
that the digests of addresses that have opted in are remembered, as long as events are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql

from tables.channels import CHANNELS
from tables.database.connection import Session
from tables.directory.suppressions import list_suppressions
from tables.models import OptIn, Suppression

REASON = "unsubscribed"
_SWEPT = 100  # that each new one takes with it
_ADDRESS = " ".join(
    f"WHEN '{name}' THEN {channel.compared_in('p')}" for name, channel in CHANNELS.items()
)
_HAVING: Mapping[str, str] = {
    name: f"""
SELECT p.id FROM contacts p
 WHERE p.tenant_id = %(tenant)s AND {channel.found_by("p", "%(address)s::text")}"""
    for name, channel in CHANNELS.items()
}
_TARGETS = f"""
SELECT w.id, r.tenant_id, c.channel, r.contact_id, a.address, w.at
  FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS w (id, at)
  JOIN campaign_recipients r ON r.id = w.id
  JOIN campaigns c ON c.id = r.campaign_id
  LEFT JOIN contacts p ON p.id = r.contact_id AND p.tenant_id = r.tenant_id
 CROSS JOIN LATERAL (SELECT CASE c.channel {_ADDRESS} END) AS a (address)"""
_MARK = f"""
UPDATE suppressions s
   SET way = %(way)s, said_at = greatest(s.said_at, n.at)
  FROM (SELECT tenant_id, channel, contact_id, address, max(at) AS at
          FROM ({_TARGETS}) AS t GROUP BY 1, 2, 3, 4) AS n
 WHERE s.tenant_id = n.tenant_id AND s.channel = n.channel AND s.reason = '{REASON}'
   AND (s.address = n.address OR s.contact_id = n.contact_id)
   AND (s.way = %(way)s OR (s.way IS NULL AND s.created_at = now()))"""
_LIFTED = f"""
SELECT t.id
  FROM ({_TARGETS}) AS t
  JOIN opt_ins o ON o.tenant_id = t.tenant_id
   AND o.digest = sha256(convert_to(t.channel || '/' || t.address, 'UTF8'))
 WHERE o.at > t.at"""
_SWEEP = """
DELETE FROM opt_ins
 WHERE ctid = ANY (ARRAY(
       SELECT ctid
         FROM opt_ins
        WHERE at < now() - interval '8 days'  -- pipeline.events.v1 is kept for seven
        ORDER BY at
        LIMIT %(most)s
          FOR UPDATE SKIP LOCKED))"""


@dataclass(frozen=True, slots=True)
class _Target:
    """The person behind a row of the ledger."""

    id: UUID
    tenant_id: str
    channel: str
    contact_id: UUID | None
    address: str | None
    at: datetime


def _digest(channel: str, address: str) -> bytes:
    compared = CHANNELS[channel].compared(address)
    return hashlib.sha256(f"{channel}/{compared}".encode()).digest()


async def mark(session: Session, way: str, said: Mapping[UUID, datetime]) -> None:
    """Note on the suppressions of these rows of the ledger which way the no came, and when it was
    said: on those that this transaction has made, and on those of the same way.
    """
    if said:
        await session.run(_MARK, way=way, ids=list(said), times=list(said.values()))


async def mark_one(
    session: Session, one: Suppression, way: str, at: datetime, is_new: bool
) -> None:
    """`mark` for a suppression at hand."""
    if is_new or one.way == way:
        said_at = func.greatest(Suppression.said_at, at)
        marked = update(Suppression).where(Suppression.id == one.id)
        await session.execute(marked.values(way=way, said_at=said_at))


async def keep(session: Session, one: Suppression) -> None:
    """Make it one that no START lifts: a person of the tenant has asked for it, too."""
    kept = update(Suppression).where(Suppression.id == one.id, Suppression.way.is_not(None))
    await session.execute(kept.values(way=None))


async def standing(
    session: Session, reasons: Mapping[UUID, str], said: Mapping[UUID, datetime]
) -> dict[UUID, str]:
    """The reasons to suppress rows of the ledger without those whose person has opted in again
    after saying no. `said`: when, for those rows of which it is known.
    """
    asked = {row: said[row] for row, why in reasons.items() if why == REASON and row in said}
    if not asked or not await session.scalar(select(OptIn.digest).limit(1)):
        return dict(reasons)
    lifted = set(await session.values(_LIFTED, ids=list(asked), times=list(asked.values())))
    return {row: why for row, why in reasons.items() if row not in lifted}


async def has_opted_in_since(
    session: Session, tenant: str, channel: str, address: str, at: datetime
) -> bool:
    """Whether the person with this address has opted in after `at`."""
    found = await session.scalar(
        select(OptIn.at).where(OptIn.tenant_id == tenant, OptIn.digest == _digest(channel, address))
    )
    return found is not None and found > at


async def opt_in(
    session: Session,
    tenant: str,
    channel: str,
    address: str,
    way: str,
    at: datetime,
    contacts: Sequence[UUID] = (),
) -> int:
    """Lift what the way had set before `at` for this address, its contacts and these: how many
    suppressions. What another way or somebody else has set stays.
    """
    mine = await session.values(_HAVING[channel], tenant=tenant, address=address)
    of_contacts = select(Suppression).where(
        Suppression.tenant_id == tenant,
        Suppression.channel == channel,
        Suppression.contact_id.in_([*mine, *contacts]),
    )
    of_address, _ = await list_suppressions(session, tenant, channel=channel, address=address)
    lifted = [
        one.id
        for one in [*of_address, *await session.every(of_contacts)]
        if one.reason == REASON and one.way == way and (one.said_at or one.created_at) <= at
    ]
    gone = delete(Suppression).where(Suppression.tenant_id == tenant, Suppression.id.in_(lifted))
    await session.execute(gone)
    await _remember(session, tenant, channel, address, at)
    return len(lifted)


async def opt_in_recipient(session: Session, row: UUID, way: str, at: datetime) -> int:
    """`opt_in` for the address that the recipient of this row of the ledger has."""
    found = await session.rows(_Target, _TARGETS, ids=[row], times=[at])
    one = found[0] if found else None
    if one is None or one.address is None:
        return 0
    return await opt_in(session, one.tenant_id, one.channel, one.address, way, at)


async def _remember(
    session: Session, tenant: str, channel: str, address: str, at: datetime
) -> None:
    await session.run(_SWEEP, most=_SWEPT)
    new = postgresql.insert(OptIn).values(tenant_id=tenant, digest=_digest(channel, address), at=at)
    latest = {"at": func.greatest(OptIn.at, new.excluded.at)}
    key = [OptIn.tenant_id, OptIn.digest]
    await session.execute(new.on_conflict_do_update(index_elements=key, set_=latest))
