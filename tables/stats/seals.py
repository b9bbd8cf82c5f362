"""Quiet campaigns, to which nothing happens any more, and the records that make their counts final.

While a campaign lives, `fold` knows every recipient it has counted, 10 to 150 kB per shard of
65,536. Sealed, only the counts are left, as rows of `campaign_stats` and on `campaigns.stats.v1`. A
seal goes through the outbox in the transaction that notes it; a repeat seals again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import update

from streams.records.facts import Batch, encode_batch
from streams.topics import Name, shard_key
from tables.database.connection import Session
from tables.database.outbox import Outgoing, append
from tables.models import CampaignStats

_IDS = UUID(
    "1d0b9f1e-4a55-5b0e-8d3c-3f2f8f6e9a70"
)  # namespace of record ids (RFC 9562, section 5.5)
# Children of a series are campaigns like any other; the series itself has no shards. Nor has one
# without facts, and one whose facts are still on their way must not lose them.
_QUIET = """
SELECT c.id, c.number, c.tenant_id, s.live_version
  FROM campaign_stats s JOIN campaigns c ON c.id = s.campaign_id
 WHERE s.variant_id IS NULL AND s.sealed_at IS NULL AND s.updated_at < %(instant)s
   AND (s.is_complete OR c.status = 'cancelled') AND s.live_version > 0 AND c.type <> 'recurring'
 ORDER BY s.updated_at LIMIT %(limit)s"""


@dataclass(frozen=True)
class Quiet:
    """A finished campaign whose counts have not changed for long, and the version that is
    materialised.
    """

    id: UUID
    number: int
    tenant_id: str
    live_version: int


async def quiet_since(session: Session, instant: datetime, limit: int) -> list[Quiet]:
    """The longest quiet first."""
    return await session.rows(Quiet, _QUIET, instant=instant, limit=limit)


async def seal(
    session: Session,
    found: Sequence[Quiet],
    shards: Callable[[int], Sequence[int]],
    at: datetime,
) -> int:
    """Seal the given shards of each; returns how many campaigns were not sealed before."""
    records: list[Outgoing] = []
    sealed = 0
    for one in sorted(found, key=lambda it: it.number):
        note = (
            update(CampaignStats)
            .where(
                CampaignStats.campaign_id == one.id,
                CampaignStats.variant_id.is_(None),
                CampaignStats.sealed_at.is_(None),
            )
            .values(sealed_at=at)
            .returning(CampaignStats.id)
        )
        if await session.scalar(note) is None:
            continue
        sealed += 1
        records += [_record(one, shard) for shard in shards(one.number)]
    await append(session, records)
    return sealed


def _record(one: Quiet, shard: int) -> Outgoing:
    payload = encode_batch(Batch(one.tenant_id, one.number, shard, 0, (), str(one.id), seals=True))
    return Outgoing(
        Name.FACTS,
        shard_key(one.number, shard).decode(),
        "",
        uuid5(_IDS, f"{one.id}:{shard}"),
        payload,
    )
