"""Opting in again: START, UNSTOP and a subscription resumed with a provider lift what the same way
had set, never a complaint, a bounce or a person's own entry.

The way is the provider that reported the no. Times are those of the person, so that a repeat which
comes late changes nothing that was said after it: a START lifts only what was said before, and a no
from before the START suppresses nothing again, whichever of webhook and projection brings it. For
that the keyed hashes of addresses that have opted in are remembered, as long as events are kept
(tables/database/retention.py).

A report about a message speaks of the address that the message went to (`reported`): when the
contact has another one by now, the contact and that address stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, delete, func, or_, select, update

from tables.channels import CHANNELS
from tables.database.connection import Session
from tables.directory.reported import WRITTEN_TO
from tables.directory.suppressions import list_suppressions
from tables.models import OptIn, Suppression
from tables.models.audience import CampaignRecipient

REASON = "unsubscribed"
_HAVING: Mapping[str, str] = {
    name: f"""
SELECT p.id FROM contacts p
 WHERE p.tenant_id = %(tenant)s AND {channel.found_by("p", "%(address)s::text")}"""
    for name, channel in CHANNELS.items()
}
_TARGETS = f"""
SELECT w.id, r.tenant_id, c.channel, CASE WHEN it.is_of_contact THEN r.contact_id END AS contact_id,
       CASE WHEN it.is_current THEN now.address END AS address,
       CASE WHEN it.is_current THEN address_hash(now.address) ELSE f.hash END AS address_hash, w.at
  FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS w (id, at)
  JOIN campaign_recipients r ON r.id = w.id {WRITTEN_TO}"""
# In sight, because behind a policy no index serves comparisons with what functions make of others.
_THEIRS = f"""
       SELECT s.seq, n.at
         FROM ({_TARGETS}) AS n
         JOIN suppressions_in_sight s
           ON s.tenant_id = n.tenant_id AND s.channel = n.channel
          AND (s.address = n.address OR s.contact_id = n.contact_id
               OR s.address_hash = n.address_hash)"""
_MARK = f"""
UPDATE suppressions s
   SET way = %(way)s, said_at = greatest(s.said_at, theirs.at)
  FROM (SELECT seq, max(at) AS at
          FROM ({_THEIRS}) AS t GROUP BY seq) AS theirs
 WHERE s.seq = theirs.seq AND s.reason = '{REASON}'
   AND (s.way = %(way)s OR (s.way IS NULL AND s.created_at = now()))"""
_LIFTED = f"""
SELECT t.id
  FROM ({_TARGETS}) AS t
  JOIN opt_ins o
    ON o.tenant_id = t.tenant_id AND o.channel = t.channel AND o.address_hash = t.address_hash
 WHERE o.at > t.at"""
_KEEP = f"""
UPDATE suppressions s
   SET way = NULL
  FROM ({_THEIRS}) AS theirs
 WHERE s.seq = theirs.seq AND s.way IS NOT NULL"""
_SINCE = """
SELECT at FROM opt_ins
 WHERE tenant_id = %(tenant)s AND channel = %(channel)s::campaign_channel
   AND address_hash = address_hash(%(address)s)"""
_REMEMBER = """
INSERT INTO opt_ins AS known (tenant_id, channel, address_hash, at)
SELECT %(tenant)s, %(channel)s::campaign_channel, one.hash, %(at)s
  FROM (SELECT coalesce(%(hash)s::bytea, address_hash(%(address)s::text))) AS one (hash)
    ON CONFLICT (tenant_id, channel, address_hash) DO UPDATE
   SET at = greatest(known.at, EXCLUDED.at)"""


@dataclass(frozen=True, slots=True)
class _Target:
    """The person behind a row of the ledger."""

    id: UUID
    tenant_id: str
    channel: str
    contact_id: UUID | None
    address: str | None
    address_hash: bytes | None
    at: datetime


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


async def keep_recipients(session: Session, rows: Sequence[UUID], at: datetime) -> None:
    """`keep` for what holds for the recipients of these rows of the ledger: they have said no a
    second time, another way.
    """
    await session.run(_KEEP, ids=list(rows), times=[at] * len(rows))


async def standing(
    session: Session, reasons: Mapping[UUID, str], said: Mapping[UUID, datetime]
) -> dict[UUID, str]:
    """The reasons to suppress rows of the ledger without those whose person has opted in again
    after saying no. `said`: when, for those rows of which it is known.
    """
    asked = {row: said[row] for row, why in reasons.items() if why == REASON and row in said}
    if not asked or not await session.scalar(_anybody(asked)):
        return dict(reasons)
    lifted = set(await session.values(_LIFTED, ids=list(asked), times=list(asked.values())))
    return {row: why for row, why in reasons.items() if row not in lifted}


def _anybody(rows: Collection[UUID]) -> Select[datetime]:
    """When somebody opted in, if anybody of the rows' tenants did."""
    theirs = select(CampaignRecipient.tenant_id).where(CampaignRecipient.id.in_(rows))
    return select(OptIn.at).where(OptIn.tenant_id.in_(theirs)).limit(1)


async def has_opted_in_since(
    session: Session, tenant: str, channel: str, address: str, at: datetime
) -> bool:
    """Whether the person with this address has opted in after `at`."""
    compared = CHANNELS[channel].compared(address)
    found = await session.value(_SINCE, tenant=tenant, channel=channel, address=compared)
    return found is not None and bool(found > at)


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
    suppressions. Suppressions that came another way, or were entered by the tenant, stay.
    """
    mine = await session.values(_HAVING[channel], tenant=tenant, address=address)
    of_contacts = select(Suppression).where(
        Suppression.tenant_id == tenant,
        Suppression.channel == channel,
        Suppression.contact_id.in_([*mine, *contacts]),
    )
    of_address, _ = await list_suppressions(session, tenant, channel=channel, address=address)
    compared = CHANNELS[channel].compared(address)
    await _remember(session, tenant, channel, at, address=compared)
    return await _lift(session, [*of_address, *await session.every(of_contacts)], way, at)


async def _lift(
    session: Session, suppressions: Sequence[Suppression], way: str, at: datetime
) -> int:
    lifted = [
        one.id
        for one in suppressions
        if one.reason == REASON and one.way == way and (one.said_at or one.created_at) <= at
    ]
    await session.execute(delete(Suppression).where(Suppression.id.in_(lifted)))
    return len(lifted)


async def opt_in_recipient(session: Session, row: UUID, way: str, at: datetime) -> int:
    """`opt_in` for the address that the message of this row of the ledger went to."""
    found = await session.rows(_Target, _TARGETS, ids=[row], times=[at])
    one = found[0] if found else None
    if one is None or one.address_hash is None:
        return 0
    if one.address is not None:
        return await opt_in(session, one.tenant_id, one.channel, one.address, way, at)
    await _remember(session, one.tenant_id, one.channel, at, address_hash=one.address_hash)
    of_address = select(Suppression).where(
        Suppression.tenant_id == one.tenant_id,
        Suppression.channel == one.channel,
        or_(
            Suppression.address_hash == one.address_hash,
            Suppression.contact_id == one.contact_id,
        ),
    )
    return await _lift(session, await session.every(of_address), way, at)


async def _remember(
    session: Session,
    tenant: str,
    channel: str,
    at: datetime,
    *,
    address: str | None = None,
    address_hash: bytes | None = None,
) -> None:
    await session.run(
        _REMEMBER, tenant=tenant, channel=channel, at=at, address=address, hash=address_hash
    )
